package tarball

import "strings"

// flagNames are the inode flags of linux/fs.h that bsdtar has a word for.
var flagNames = [...]struct {
	bit  uint32
	name string
}{
	{0x00000001, "secdel"},
	{0x00000002, "undel"},
	{0x00000004, "compress"},
	{0x00000008, "sync"},
	{0x00000010, "schg"},
	{0x00000020, "sappnd"},
	{0x00000040, "nodump"},
	{0x00000080, "noatime"},
	{0x00004000, "journal"},
	{0x00008000, "notail"},
	{0x00010000, "dirsync"},
	{0x00020000, "topdir"},
	{0x00800000, "nocow"},
	{0x20000000, "projinherit"},
}

// flagText writes inode flags as bsdtar does. Flags it has no word for are in
// the list only.
func flagText(flags uint32) string {
	var names []string
	for _, f := range flagNames {
		if flags&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	return strings.Join(names, ",")
}
