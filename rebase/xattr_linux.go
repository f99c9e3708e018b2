package rebase

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// copyXattrs gives f the extended attributes of another file, ACLs and
// capabilities among them.
func copyXattrs(f *os.File, root *os.Root, name string) error {
	from, err := root.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	names, err := listXattrs(int(from.Fd()))
	if err != nil {
		return err
	}
	for _, attr := range names {
		if err := copyXattr(int(f.Fd()), int(from.Fd()), attr); err != nil {
			return fmt.Errorf("extended attribute %s: %w", attr, err)
		}
	}
	return nil
}

func listXattrs(fd int) ([]string, error) {
	buf := make([]byte, 64<<10) // XATTR_LIST_MAX, xattr(7)
	n, err := unix.Flistxattr(fd, buf)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil || n == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00"), nil
}

func copyXattr(to, from int, name string) error {
	n, err := unix.Fgetxattr(from, name, nil)
	if err != nil {
		return err
	}
	value := make([]byte, n)
	if n > 0 {
		if n, err = unix.Fgetxattr(from, name, value); err != nil {
			return err
		}
	}
	return unix.Fsetxattr(to, name, value[:n], 0)
}
