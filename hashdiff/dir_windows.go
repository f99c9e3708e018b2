package hashdiff

import (
	"io/fs"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A dir is a directory by its path: what is open can not be renamed or removed.
type dir struct {
	path string
	held holds
}

// holds counts nothing: there is nothing to be closed.
type holds struct{}

func (holds) Add(int32) int32 { return 0 }

func openDir(path string) (*dir, error) {
	_, err := os.Stat(path)
	return &dir{path: path}, err
}

func (d *dir) join(name string) string { return filepath.Join(d.path, name) }

func (d *dir) open(name string) (*dir, error) { return &dir{path: d.join(name)}, nil }

func (d *dir) release() {}

// list returns the names in the directory.
func (d *dir) list([]byte) ([]name, error) {
	found, err := os.ReadDir(d.path)
	return namesOf(found), err
}

// stat reads the stamp and the mode of a name.
func (d *dir) stat(name string) (Stamp, fs.FileMode, error) {
	st, err := os.Lstat(d.join(name))
	if err != nil {
		return Stamp{}, 0, err
	}
	s, err := stampOf(d.join(name))
	return s, st.Mode(), err
}

// stampOf reads the numbers of a file. The file index is unique on NTFS, and on ReFS
// as long as it is below 2^64 (BY_HANDLE_FILE_INFORMATION).
func stampOf(path string) (s Stamp, err error) {
	path16, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return s, err
	}
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE | windows.FILE_SHARE_DELETE
	const flags = windows.FILE_FLAG_BACKUP_SEMANTICS | windows.FILE_FLAG_OPEN_REPARSE_POINT // directories, too; no symlink is followed
	h, err := windows.CreateFile(path16, windows.FILE_READ_ATTRIBUTES, share, nil, windows.OPEN_EXISTING, flags, 0)
	if err != nil {
		return s, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer windows.CloseHandle(h) //nolint:errcheck // only read
	var info windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &info); err != nil {
		return s, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	var basic basicInfo
	err = windows.GetFileInformationByHandleEx(h, windows.FileBasicInfo, (*byte)(unsafe.Pointer(&basic)), uint32(unsafe.Sizeof(basic)))
	if err != nil {
		return s, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return Stamp{
		Inode: capture.Inode{
			Dev: uint64(info.VolumeSerialNumber), Ino: uint64(info.FileIndexHigh)<<32 | uint64(info.FileIndexLow),
			Nlink: info.NumberOfLinks,
		},
		Size:    int64(info.FileSizeHigh)<<32 | int64(info.FileSizeLow),
		ModTime: timeOf(basic.LastWriteTime),
		Changed: timeOf(basic.ChangeTime),
		Born:    timeOf(basic.CreationTime),
	}, nil
}

// basicInfo is FILE_BASIC_INFO of winbase.h.
type basicInfo struct {
	CreationTime, LastAccessTime, LastWriteTime, ChangeTime windows.Filetime

	FileAttributes, _ uint32
}

// timeOf is the zero Time where the file system does not tell: FAT has no change
// time.
func timeOf(t windows.Filetime) Time {
	if t == (windows.Filetime{}) {
		return Time{}
	}
	return timeFrom(time.Unix(0, t.Nanoseconds()))
}

// lstat reads the attributes of a name.
func (d *dir) lstat(name string) (plist.Entry, error) {
	st, err := os.Lstat(d.join(name))
	if err != nil {
		return plist.Entry{}, err
	}
	// Of the permissions Windows tells one bit, and Go spreads it (os.Chmod).
	e := plist.Entry{Mode: st.Mode() &^ 0o022, ModTime: st.ModTime()}
	switch {
	case e.Mode.IsRegular():
		e.Size = st.Size()
	case e.Mode&fs.ModeSymlink != 0:
		e.Link, err = os.Readlink(d.join(name))
	}
	return e, err
}

func (d *dir) openFile(name string) (*os.File, error) { return os.Open(d.join(name)) }

// isPseudo is always false: there are no file systems without files.
func (d *dir) isPseudo() (bool, error) { return false, nil }
