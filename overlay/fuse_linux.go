package overlay

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/overlay/fuse"
)

// Fuse captures as [Method] does, or for who has no privilege as [Rootless] does, with
// unions over FUSE in the place of the kernel's overlays, for where there are none or they
// can not be stacked. Their uppers are the same, so all else is.
type Fuse struct{}

// Name returns the method's name.
func (Fuse) Name() string { return "fuse" }

// Run runs the command in the sandbox and harvests the layers.
func (Fuse) Run(ctx context.Context, cmd capture.Command) (*capture.Result, error) {
	if !privileged() {
		return runRootless(ctx, cmd, flavour{fuse: true, userxattr: true})
	}
	return run(ctx, cmd, flavour{fuse: true})
}

// Probe builds the whole sandbox and runs nothing in it.
func (Fuse) Probe(ctx context.Context) error {
	if !privileged() {
		return probeRootless(ctx, flavour{fuse: true, userxattr: true})
	}
	return probe(ctx, flavour{fuse: true})
}

// privileged reports whether this process may mount as the host's root may, and not
// only in a user namespace.
func privileged() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData
	if unix.Geteuid() != 0 || unix.Capget(&header, &have[0]) != nil || have[0].Effective>>unix.CAP_SYS_ADMIN&1 == 0 {
		return false
	}
	return allIDs()
}

// allIDs reports whether this process is in the machine's user namespace, or in one that
// has all its ids.
func allIDs() bool {
	ids, err := rootIDs()
	return err == nil && len(ids.UIDs) == 1 && ids.UIDs[0].Size == math.MaxUint32
}

// mountUnion mounts a union over FUSE of lower directories, topmost first, with its
// upper and work directory in a room.
func (r *rig) mountUnion(lowers []*os.File, room *room, attr uint64) (_ *os.File, err error) {
	if r.server == nil {
		if r.server, err = fuse.StartServer((*exec.Cmd).Start); err != nil {
			return nil, err
		}
	}
	opt := fuse.UnionOptions{Lowers: lowers, Private: r.privateXattrs()}
	for name, dir := range map[string]**os.File{"upper": &opt.Upper, "work": &opt.Work} {
		if *dir, err = os.Open(room.path(name)); err != nil {
			return nil, err
		}
		defer (*dir).Close()
	}
	dev, err := os.OpenFile(fuseDevice, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer dev.Close() // the server's must be the last one: when it is closed all requests fail
	m, err := newMount(fsContext{fstype: "fuse", options: []string{
		"fd=" + strconv.Itoa(int(dev.Fd())), "rootmode=40000", "user_id=0", "group_id=0",
		"allow_other", "default_permissions", "max_read=1048576",
	}, attr: attr})
	if err != nil {
		return nil, err
	}
	if err := r.server.Add(dev, opt); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// because returns an error, or in its place that the unions of a server are not served any
// more. That alone is one, too: what was read of them is not all.
func because(server *fuse.Server, err error) error {
	if server != nil {
		if ended := server.Err(); ended != nil {
			return ended
		}
	}
	return err
}

const fuseDevice = "/dev/fuse"

// tryUnion finds out whether a directory can be the upper one of a union.
func (s *staging) tryUnion() error {
	t, err := s.room("upper")
	if err != nil {
		return err
	}
	defer t.close()
	// There an open file that is removed stays, by another name, and so its directory; and
	// without privilege another process has it open when this one removes all.
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(t.Fd()), &st); err != nil || s.userxattr && (st.Type == unix.FUSE_SUPER_MAGIC || st.Type == unix.NFS_SUPER_MAGIC) {
		return errors.Join(err, errors.New("a file system over FUSE or NFS keeps removed files"))
	}
	// By descriptor, since a sandbox outside knows no /proc/self of this process.
	if err := unix.Mknodat(int(t.Fd()), "upper/whiteout", unix.S_IFCHR, 0); err != nil {
		return fmt.Errorf("make a whiteout: %v", err) // EPERM on an overlay, but not in a tmpfs
	}
	return s.tryXattrs(t)
}
