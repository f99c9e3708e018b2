package tarball

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
	"golang.org/x/sys/unix"
)

// scanTree makes the list of all that is below dir: enough of one for tests.
func scanTree(t testing.TB, dir string) *plist.List {
	t.Helper()
	l := &plist.List{Name: "test", Version: "1", Prefix: "/"}
	check(t, filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		e := scanEntry(t, name)
		e.Path = strings.TrimPrefix(name, dir+"/")
		l.Entries = append(l.Entries, e)
		return nil
	}))
	l.Sort()
	first := make(map[uint64]string)
	for i := range l.Entries {
		e := &l.Entries[i]
		st := lstat(t, filepath.Join(dir, e.Path))
		if st.Nlink < 2 || e.Mode.IsDir() || e.Mode.Type() == fs.ModeSymlink {
			continue
		}
		if body, ok := first[st.Ino]; ok {
			e.Link = body
		} else {
			first[st.Ino] = e.Path
		}
	}
	return l
}

func scanEntry(t testing.TB, name string) plist.Entry {
	t.Helper()
	e := scanMeta(t, name)
	var err error
	switch e.Mode.Type() {
	case 0:
		var content []byte
		content, err = os.ReadFile(name)
		e.Digest = sha256.Sum256(content)
	case fs.ModeSymlink:
		e.Link, err = os.Readlink(name)
	}
	check(t, err)
	return e
}

// scanMeta makes an entry of what does not take reading.
func scanMeta(t testing.TB, name string) plist.Entry {
	t.Helper()
	st := lstat(t, name)
	e := plist.Entry{
		Op: plist.OpAdd, Mode: plist.ModeFromUnix(st.Mode), UID: st.Uid, GID: st.Gid,
		ModTime: time.Unix(st.Mtim.Unix()), Xattrs: scanXattrs(t, name),
	}
	switch {
	case e.Mode.IsRegular():
		e.Size, e.Flags = st.Size, scanFlags(t, name)
	case e.Mode.IsDir():
		e.Flags = scanFlags(t, name)
	case e.Mode&fs.ModeDevice != 0:
		e.Major, e.Minor = unix.Major(st.Rdev), unix.Minor(st.Rdev)
	}
	return e
}

func lstat(t testing.TB, name string) *syscall.Stat_t {
	t.Helper()
	fi, err := os.Lstat(name)
	check(t, err)
	return fi.Sys().(*syscall.Stat_t)
}

func scanXattrs(t testing.TB, name string) map[string]string {
	t.Helper()
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(name, names)
	check(t, err)
	xattrs := make(map[string]string)
	for attr := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if attr == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(name, attr, value)
		check(t, err)
		xattrs[attr] = string(value[:n])
	}
	return xattrs
}

// settable are the inode flags (linux/fs.h) that the tests set: sync, immutable,
// append, nodump, noatime and dirsync.
const settable = 0x100f8

func scanFlags(t testing.TB, name string) uint32 {
	t.Helper()
	f, err := os.Open(name)
	check(t, err)
	defer shut(t, f)
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	check(t, err)
	return uint32(flags) & settable
}
