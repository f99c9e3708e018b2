package fuse

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// UnionOptions say what a union is made of. The descriptors are the union's from
// then on.
type UnionOptions struct {
	Lowers []*os.File // directories, the topmost first; never written to
	Upper  *os.File   // the directory that changes land in
	Work   *os.File   // a directory on its file system, for what is on its way there

	// Private is the prefix of the attributes in which an overlay keeps its notes:
	// "trusted.overlay." or "user.overlay." (overlayfs.rst).
	Private string
}

// A Union serves lower directories with an upper one on top.
type Union struct {
	gofuse.RawFileSystem
	opt        UnionOptions
	device     *device
	root       *object
	work       int
	tmp, index place          // directories in work
	upper      uint64         // st_dev
	dirs       fds[*place]    // directories of all layers (O_PATH)
	files      fds[*object]   // regular files, as they are to be read, or read and written
	lowers     map[uint64]int // by st_dev: a number, 0 for the first directory's

	// tree is held to change what names lead to and where files are, or shared to
	// rely on it.
	tree     sync.RWMutex
	shared   map[file]*shared
	copies   map[file]file // of what is shared, by what upper has: what that was
	serial   int           // of names in work
	whiteout string        // one in work; "" if there is none yet

	// mu is for what the kernel knows: it is taken last.
	mu       sync.Mutex
	next     uint64
	byID     map[uint64]*object
	byFile   map[file]*object
	listings map[uint64]*listing
	aheads   map[*object]*copyAhead
	met      int // objects, since some were let go of

	crowded chan struct{} // has one in it if there are too many objects
}

// newUnion prepares to answer the requests on a descriptor of /dev/fuse, which has been
// mounted already and is taken over.
//
// Preconditions: the process has an umask of 0 and /proc/self/fd as its working
// directory, and is to do nothing for which it would wait for itself.
func newUnion(dev *os.File, opt UnionOptions) (*Union, error) {
	u := &Union{
		RawFileSystem: gofuse.NewDefaultRawFileSystem(),
		opt:           opt,
		next:          gofuse.FUSE_ROOT_ID,
		lowers:        make(map[uint64]int),
		shared:        make(map[file]*shared),
		copies:        make(map[file]file),
		byID:          make(map[uint64]*object),
		byFile:        make(map[file]*object),
		listings:      make(map[uint64]*listing),
		aheads:        make(map[*object]*copyAhead),
		crowded:       make(chan struct{}, 1),
	}
	if err := u.plant(); err != nil {
		return nil, fmt.Errorf("open the layers of a union: %w", err)
	}
	var err error
	u.device, err = newDevice(dev, gofuse.NewProtocolServer(u, &gofuse.MountOptions{
		MaxWrite:                 1 << 20,
		EnableAcl:                true,
		EnableSymlinkCaching:     true,
		ExplicitDataCacheControl: true,
		ExtraCapabilities:        gofuse.CAP_DONT_MASK | gofuse.CAP_HANDLE_KILLPRIV_V2 | gofuse.CAP_SETXATTR_EXT | gofuse.CAP_IOCTL_DIR,
		// A file that is passed through to its lower would still be when it has been
		// copied up.
		DisabledCapabilities: gofuse.CAP_PASSTHROUGH,
		Logger:               log.New(os.Stderr, "sandbox-install: union: ", 0),
	}))
	if err != nil {
		return nil, fmt.Errorf("serve a union: %w", err)
	}
	return u, nil
}

// serve answers requests until the last mount is gone.
func (u *Union) serve() error {
	defer unix.Close(u.device.fd)
	if u.device.kernel.SupportsNotify(gofuse.NOTIFY_PRUNE) {
		var pruner sync.WaitGroup
		pruner.Go(u.prune)
		defer pruner.Wait()
		defer close(u.crowded)
	}
	return u.device.serve()
}

// plant makes the object of the root.
func (u *Union) plant() error {
	root := &object{id: gofuse.FUSE_ROOT_ID, lookups: 1, typ: unix.S_IFDIR, orphan: -1}
	var st unix.Statx_t
	for i, dir := range append([]*os.File{u.opt.Upper}, u.opt.Lowers...) {
		if err := statx(int(dir.Fd()), "", unix.AT_EMPTY_PATH, &st); err != nil {
			return err
		}
		p := &place{}
		u.dirs.keep(p, int(dir.Fd()))
		switch key := keyOf(&st); i {
		case 0:
			root.upper, u.upper, root.upperKey = p, key.dev, key
		case 1:
			u.lowers[key.dev] = 0
			root.key = key
			fallthrough
		default:
			root.lowers = append(root.lowers, p)
		}
	}
	root.ino = u.number(root.key)
	u.root, u.byID[root.id] = root, root
	u.byFile[root.key], u.byFile[root.upperKey] = root, root
	return u.furnish()
}

// furnish makes directories in work, which may have been another union's before.
func (u *Union) furnish() (err error) {
	own := rand.Text()
	work := int(u.opt.Work.Fd())
	if err := unix.Mkdirat(work, own, 0o700); err != nil {
		return err
	}
	if u.work, err = openDir(work, own); err != nil {
		return err
	}
	for name, p := range map[string]*place{"tmp": &u.tmp, "index": &u.index} {
		if err := unix.Mkdirat(u.work, name, 0o700); err != nil {
			return err
		}
		fd, err := openDir(u.work, name)
		if err != nil {
			return err
		}
		u.dirs.keep(p, fd)
	}
	return nil
}

// String names the file system in messages.
func (u *Union) String() string { return "sandbox-install" }

// number is what a file is known by inside. One of the first lower's device keeps its
// number; those of the others have that of their device above it, where an overlay
// with xino has it, or below for upper, whose numbers such an overlay leaves alone.
func (u *Union) number(f file) uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	i, known := u.lowers[f.dev]
	switch {
	case known:
	case f.dev == u.upper:
		return f.ino ^ 1<<55
	default:
		i = len(u.lowers)
		u.lowers[f.dev] = i
	}
	return f.ino ^ uint64(i)<<56
}

// A place is where a file is in a layer: a name in a directory, which is a place too.
// Those in lower directories stay as they are; one in upper moves with its directory.
type place struct {
	parent *place // nil for the layer's root
	name   string
}

// in calls do with a directory in a layer (O_PATH).
func (u *Union) in(dir *place, do func(fd int) error) error {
	open := func() (fd int, err error) {
		err = u.in(dir.parent, func(parent int) (err error) {
			fd, err = openDir(parent, dir.name)
			return err
		})
		return fd, err
	}
	return u.dirs.use(dir, open, do)
}

// at calls do with the directory and the name by which a file is to be reached. The
// root of a layer is reached through "." in itself.
func (u *Union) at(p *place, do func(dir int, name string) error) error {
	if p.parent == nil {
		return u.in(p, func(fd int) error { return do(fd, ".") })
	}
	return u.in(p.parent, func(fd int) error { return do(fd, p.name) })
}

// path is the path of a place from the root of its layer, with a slash before each
// name.
func (p *place) path() string {
	if p.parent == nil {
		return ""
	}
	return p.parent.path() + "/" + p.name
}

const statxMask = unix.STATX_BASIC_STATS

func statx(dir int, name string, flags int, st *unix.Statx_t) error {
	return unix.Statx(dir, name, flags|unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statxMask, st)
}

func keyOf(st *unix.Statx_t) file {
	return file{unix.Mkdev(st.Dev_major, st.Dev_minor), st.Ino, uint32(st.Mode) & unix.S_IFMT}
}

// isWhiteout reports whether a file in a layer says that there is none (overlayfs.rst).
func isWhiteout(st *unix.Statx_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev_major == 0 && st.Rdev_minor == 0
}

// status turns an error into an answer.
func status(err error) gofuse.Status {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return gofuse.Status(errno)
	}
	return gofuse.ToStatus(err)
}

const stale = gofuse.Status(unix.ESTALE)
