package fuse

import (
	"errors"
	"fmt"
	"log"
	"math"
	"os"
	"sync"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// Options say what a mirror shows, and to whom.
type Options struct {
	Root string // the directory that is shown

	// Grafts are host paths by names in the root: what is shown in their place,
	// whether the root has such a name or not.
	Grafts map[string]string

	// HasUID and HasGID tell which ids have a place in the namespace.
	HasUID, HasGID func(id uint32) bool

	// Stranger is the id that stands for those that have none.
	Stranger uint32
}

// A Mirror serves a directory.
type Mirror struct {
	gofuse.RawFileSystem
	opt    Options
	device *device
	dirs   dirs
	grafts map[string]*node
	ended  chan struct{} // closed once err is set
	err    error

	mu      sync.Mutex
	next    uint64
	byID    map[uint64]*node
	byFile  map[file]*node
	devices map[[2]uint64]uint64 // by st_dev and the upper bits of st_ino: a number, 0 for the root's
	streams map[uint64]*stream
	refused map[string]bool
}

// maxRefused bounds what is remembered of what could not be read.
const maxRefused = 1000

// Serve answers, until it is closed, the requests on a descriptor of /dev/fuse
// which has been mounted already. It takes the descriptor over.
func Serve(dev *os.File, opt Options) (*Mirror, error) {
	m := &Mirror{
		RawFileSystem: gofuse.NewDefaultRawFileSystem(),
		opt:           opt,
		ended:         make(chan struct{}),
		next:          gofuse.FUSE_ROOT_ID,
		byID:          make(map[uint64]*node),
		byFile:        make(map[file]*node),
		devices:       make(map[[2]uint64]uint64),
		streams:       make(map[uint64]*stream),
		refused:       make(map[string]bool),
		grafts:        make(map[string]*node),
	}
	if err := m.plant(); err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	var err error
	m.device, err = newDevice(dev, gofuse.NewProtocolServer(m, &gofuse.MountOptions{
		MaxWrite:                 1 << 20,
		EnableAcl:                true,
		EnableSymlinkCaching:     true,
		ExplicitDataCacheControl: true,
		// What is passed through to a backing file keeps going there when an overlay
		// has copied the file up.
		DisabledCapabilities: gofuse.CAP_PASSTHROUGH | gofuse.CAP_READDIRPLUS,
		Logger:               log.New(os.Stderr, "sandbox-install: mirror: ", 0),
	}))
	if err != nil {
		m.dirs.close()
		return nil, fmt.Errorf("serve the mirror: %w", err)
	}
	go m.serve()
	return m, nil
}

// serve answers requests until the last mount is gone.
func (m *Mirror) serve() {
	defer close(m.ended)
	m.err = m.device.serve()
	unix.Close(m.device.fd)
	m.dirs.close()
}

// plant opens the root and the grafts.
func (m *Mirror) plant() error {
	root, err := m.plantOne(m.opt.Root)
	if err != nil {
		return err
	}
	root.id = gofuse.FUSE_ROOT_ID
	m.byID[root.id] = root
	for name, path := range m.opt.Grafts {
		if m.grafts[name], err = m.plantOne(path); err != nil {
			return err
		}
		m.grafts[name].parent, m.grafts[name].name = root, name
	}
	return nil
}

func (m *Mirror) plantOne(path string) (*node, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	n := &node{lookups: math.MaxInt64}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	n.file = fileOf(&st)
	m.inode(&st) // the root's device is the first
	m.dirs.keep(n, fd)
	return n, nil
}

// Ended is closed when no more requests are answered: after the last mount of the
// mirror is gone, or when somebody cut the connection.
func (m *Mirror) Ended() <-chan struct{} { return m.ended }

// Err returns why requests could not be answered, after the mirror has ended; nil if none
// came any more.
func (m *Mirror) Err() error { return m.err }

// Refused returns some of the paths, as they are called in the mirror, that were to
// be read and that who serves it may not read. It is safe to call at any time.
func (m *Mirror) Refused() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	paths := make([]string, 0, len(m.refused))
	for p := range m.refused {
		paths = append(paths, p)
	}
	return paths
}

// String names the file system in messages.
func (m *Mirror) String() string { return "sandbox-install" }
