package hashdiff

import (
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A Record is what a snapshot tells of one path. Of the entry Op, Changed, Class
// and Rule are not set, and Link only of a symlink.
type Record struct {
	plist.Entry

	Stamp  Stamp
	Hashed bool   // Digest is set
	Racy   bool   // the file may change once more and keep its stamp
	Unread string // why something of the path could not be read; "" if all was
}

// A Stamp are the numbers that can not all stay the same when a file is written
// or its attributes are set: no Unix lets a program choose the change time, and on
// Windows none does by chance. Where there is no change time (FAT), no stamp is the
// same as another.
type Stamp struct {
	capture.Inode
	Size    int64
	ModTime Time
	Changed Time // ctime
	Born    Time // zero where the file system does not tell
}

// isFile reports whether two stamps are of one file, whatever its attributes. An
// inode number alone is used again, often at once.
func (s *Stamp) isFile(o *Stamp) bool { return s.SameFile(o.Inode) && s.Born == o.Born }

// Time is a time as the kernel has it.
type Time struct {
	Sec  int64
	Nsec uint32
}

func (t Time) time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

func timeFrom(t time.Time) Time { return Time{t.Unix(), uint32(t.Nanosecond())} }

// sameStamp reports whether a file was left alone between two looks at it.
func sameStamp(a, b *Stamp) bool { return *a == *b && a.Changed != Time{} }

// grain is the coarsest clock by which a file system may stamp a change: FAT has
// two seconds. The kernel's own clock moves once in 1 to 10 ms.
const grain = 2 * time.Second

// isRacy reports whether a file that was looked at after now could be changed
// again without its stamp telling: git(1) calls this "racily clean".
func (s *Stamp) isRacy(now time.Time) bool { return s.Changed.time().After(now.Add(-grain)) }

// reusable reports whether a record from an earlier snapshot still tells all, if
// the stamp is the same.
func (r *Record) reusable() bool {
	return !r.Racy && r.Unread == "" && r.Hashed == r.Mode.IsRegular()
}
