package capture

import (
	"io/fs"
	"maps"

	"github.com/sandbox-install/sandbox-install/plist"
)

// Difference says what of a file is not as it was. All methods call the same
// things a change: neither access and change times, nor time, size and link
// count of a directory, which only tell that a name in it came or went.
//
// Content is what Link, Major, Minor, Size and Digest tell. Who has not hashed
// the two leaves both digests zero, and compares files of the same size himself.
func Difference(before, after *plist.Entry) plist.Change {
	if before.Mode.Type() != after.Mode.Type() {
		return plist.ChangedType
	}
	var c plist.Change
	set := func(change plist.Change, differs bool) {
		if differs {
			c |= change
		}
	}
	set(plist.ChangedContent, contentDiffers(before, after))
	set(plist.ChangedMode, before.Mode != after.Mode)
	set(plist.ChangedOwner, before.UID != after.UID || before.GID != after.GID)
	set(plist.ChangedTime, !after.Mode.IsDir() && !before.ModTime.Equal(after.ModTime))
	set(plist.ChangedXattr, !maps.Equal(before.Xattrs, after.Xattrs))
	set(plist.ChangedFlags, before.Flags != after.Flags)
	return c
}

// contentDiffers compares what the name holds. The Link of anything but a
// symlink is the name of a hard link, which is no content.
func contentDiffers(before, after *plist.Entry) bool {
	return before.Size != after.Size || before.Digest != after.Digest ||
		before.Major != after.Major || before.Minor != after.Minor ||
		after.Mode.Type() == fs.ModeSymlink && before.Link != after.Link
}
