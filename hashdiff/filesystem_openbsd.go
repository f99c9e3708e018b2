package hashdiff

import "golang.org/x/sys/unix"

// fileSystem returns the name of the file system that a descriptor is on.
func fileSystem(fd int) (string, error) {
	var st unix.Statfs_t
	err := unix.Fstatfs(fd, &st)
	return unix.ByteSliceToString(st.F_fstypename[:]), err
}
