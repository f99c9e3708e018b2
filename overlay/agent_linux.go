package overlay

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/internal/sandbox"
	"github.com/sandbox-install/sandbox-install/overlay/fuse"
	"github.com/sandbox-install/sandbox-install/plist"
)

const agentName = "rootless"

func init() { sandbox.Register(agentName, newAgent) }

// An agentOrder is what a rootless sandbox is to be.
type agentOrder struct {
	Fuse       bool   // a union over FUSE, not the kernel's
	Root       string // what the mirror shows, as a host path
	Staging    string
	ShareRun   bool
	Terminal   string // as of choices
	Provenance bool
	UIDs, GIDs []sandbox.IDMap
}

// An agentMessage is what client and agent tell each other, a packet each.
type agentMessage struct {
	Kind  agentKind
	Path  string        // ask open
	Errno syscall.Errno // tell file, failure; 0 if it is none of the kernel's
	Done  int           // tell progress
	Text  string        // tell failure; tell mirror: a notice; tell result: a hint
}

type agentKind int

const (
	giveServer   agentKind = iota + 1 // here is the socket of the server of unions
	tellMirror                        // the mirror is mounted: here is its /dev/fuse
	askHarvest                        // read what the run did
	tellProgress                      // entries done so far
	tellResult                        // here is a file with the list
	tellFailure                       // it could not be read
	askOpen                           // open a file of the tree
	tellFile                          // here it is, or why not
)

// maxMessage bounds a packet: a path of a list, and a few words. It is below the
// default size of a socket's buffer.
const maxMessage = 128 << 10

func sendMessage(socket *os.File, m *agentMessage, f *os.File) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(m); err != nil {
		return err
	}
	var rights []byte
	if f != nil {
		rights = unix.UnixRights(int(f.Fd()))
	}
	return unix.Sendmsg(int(socket.Fd()), b.Bytes(), rights, nil, unix.MSG_NOSIGNAL)
}

// receiveMessage waits for a message, and the descriptor that came with it; io.EOF
// if the other side has hung up.
func receiveMessage(socket *os.File) (*agentMessage, *os.File, error) {
	b, rights := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	for {
		n, rn, _, _, err := unix.Recvmsg(int(socket.Fd()), b, rights, unix.MSG_CMSG_CLOEXEC)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return nil, nil, err
		case n == 0:
			return nil, nil, io.EOF
		}
		f, err := received(rights[:rn])
		if err != nil {
			return nil, nil, err
		}
		m := &agentMessage{}
		return m, f, gob.NewDecoder(bytes.NewReader(b[:n])).Decode(m)
	}
}

func received(rights []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "passed"), nil
}

// An agent is init of a rootless sandbox.
type agent struct {
	order  agentOrder
	err    error // of reading the order
	socket *os.File
	rig    rig
	mirror *os.File // the mount
	lies   lies
	watch  *watch        // or nil
	seen   chan struct{} // closed when watch has seen all; nil if it sees nothing
	tree   *tree
}

func newAgent(order []byte, socket *os.File) sandbox.Agent {
	a := &agent{socket: socket}
	a.err = gob.NewDecoder(bytes.NewReader(order)).Decode(&a.order)
	a.rig.flavour = flavour{userxattr: true, fuse: a.order.Fuse}
	return a
}

// Prepare builds the mounts, the mirror first.
func (a *agent) Prepare() (_ []sandbox.Mount, _ []*os.File, err error) {
	if a.err != nil {
		return nil, nil, a.err
	}
	// The user's other groups are none here. Who maps but one id may not leave them.
	if err := syscall.Setgroups(nil); err != nil && err != unix.EPERM {
		return nil, nil, fmt.Errorf("setgroups: %w", err)
	}
	if a.order.Fuse {
		_, server, err := receiveMessage(a.socket)
		if err != nil {
			return nil, nil, fmt.Errorf("get the server of the union: %w", err)
		}
		a.rig.server = fuse.ReachServer(server)
	}
	s, err := look(a.order.Root)
	if err != nil {
		return nil, nil, err
	}
	if a.rig.staging, err = newStaging(a.order.Staging, a.rig.flavour); err != nil {
		return nil, nil, err
	}
	if a.rig.root, err = a.mountMirror(); err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, a.detachMirror()) }()
	a.rig.sites, a.rig.notes = s.rootlessLayout(choices{shareRun: a.order.ShareRun, staging: a.rig.staging.path, terminal: a.order.Terminal}, a.rig.root)
	if err := a.rig.buildAll(); err != nil {
		return nil, nil, err
	}
	a.rig.views = s.twins()
	return a.rig.mounts, a.rig.files, nil
}

// mountMirror mounts the mirror, for who mounts it alone, lets the client serve it, and
// returns a path to it.
//
// A layer must lie on a mount of the caller's namespace, so it is mounted on the root
// directory. That hides nothing, since paths begin below what is mounted there.
func (a *agent) mountMirror() (string, error) {
	dev, err := os.OpenFile(fuseDevice, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	// The client's must be the last one: when it is closed all requests fail.
	defer dev.Close()
	a.mirror, err = newMount(fsContext{fstype: "fuse", options: []string{
		"fd=" + strconv.Itoa(int(dev.Fd())), "rootmode=40000", "user_id=0", "group_id=0",
		"ro", "default_permissions", "max_read=1048576",
	}})
	if err != nil {
		return "", err
	}
	a.rig.files = append(a.rig.files, a.mirror) // to be closed with all
	if err := sendMessage(a.socket, &agentMessage{Kind: tellMirror, Text: a.rig.staging.inMemory()}, dev); err != nil {
		return "", fmt.Errorf("hand the mirror over: %w", err)
	}
	if err := unix.MoveMount(int(a.mirror.Fd()), "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return "", fmt.Errorf("attach the mirror: %w", err)
	}
	return procFD(a.mirror) + "/.", nil
}

// detachMirror takes the mirror away again. The overlay keeps a mount of its own.
func (a *agent) detachMirror() error {
	if err := unix.Unmount(procFD(a.mirror), unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the mirror: %w", err)
	}
	return nil
}

// Confine has the calls witnessed that can not be carried out here. A sandbox may
// only have one witness, so one inside another sandbox goes without.
func (a *agent) Confine() error {
	if a.order.Provenance {
		var err error
		if a.watch, err = newWatch(); err != nil {
			return err
		}
	}
	a.lies.populace = newPopulace(a.order.UIDs, a.order.GIDs)
	w := &witness{lies: &a.lies, watch: a.watch, ended: make(chan struct{})}
	if err := w.confine(); err != nil {
		if a.watch != nil {
			a.rig.notes = append(a.rig.notes, plist.Note{
				Kind: plist.NoteHole, Text: fmt.Sprintf("which program wrote what was not seen: the kernel refused to ask about system calls: %v", err),
			})
		}
		a.rig.notes = append(a.rig.notes, plist.Note{
			Kind: plist.NoteHole,
			Text: fmt.Sprintf("device nodes could not be made, nor files given to ids from %d on: the kernel refused to ask about such calls: %v", w.stranger, err),
		})
	} else if a.watch != nil {
		a.seen = w.ended
	}
	return nil
}

// Serve does what the client asks for.
func (a *agent) Serve() error {
	for {
		m, _, err := receiveMessage(a.socket)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch m.Kind {
		case askHarvest:
			err = a.harvest()
		case askOpen:
			err = a.open(m.Path)
		}
		if errors.Is(err, unix.EPIPE) { // the client did not wait
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// harvest reads the layers and tells the client.
func (a *agent) harvest() error {
	list, err := a.list()
	var f *os.File
	if err == nil {
		f, err = encoded(list)
	}
	if err != nil {
		answer := &agentMessage{Kind: tellFailure, Text: err.Error()}
		_ = errors.As(err, &answer.Errno)
		return sendMessage(a.socket, answer, nil)
	}
	defer f.Close()
	return sendMessage(a.socket, &agentMessage{Kind: tellResult, Text: a.rig.staging.full()}, f)
}

func (a *agent) list() (*plist.List, error) {
	// What is mounted below the overlays still is, and would be in the way.
	for i := range a.rig.layers {
		l := &a.rig.layers[i]
		bare, err := cloneMount(procFD(l.merged), 0, 0)
		if err != nil {
			return nil, err
		}
		l.merged, l.lies = bare, &a.lies
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	list, tree, err := harvest(ctx, a.rig.layers, func(done int) {
		if sendMessage(a.socket, &agentMessage{Kind: tellProgress, Done: done}, nil) != nil {
			cancel() // nobody waits
		}
	})
	if err != nil {
		return nil, err
	}
	a.tree = tree
	if a.seen != nil {
		<-a.seen
		a.watch.Mark(list)
	}
	list.Notes = slices.Concat(a.rig.notes, list.Notes, a.rig.otherNames(list))
	return list, nil
}

// encoded puts a list into a file of its own.
func encoded(list *plist.List) (*os.File, error) {
	fd, err := unix.MemfdCreate("list", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "list")
	err = gob.NewEncoder(f).Encode(list)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return f, err
}

// open opens a file of the tree for the client.
func (a *agent) open(path string) error {
	f, err := a.handOut(path)
	if err == nil {
		defer f.Close()
		return sendMessage(a.socket, &agentMessage{Kind: tellFile}, f)
	}
	answer := &agentMessage{Kind: tellFile, Errno: unix.EIO}
	_ = errors.As(err, &answer.Errno)
	return sendMessage(a.socket, answer, nil)
}

// Close lets go of everything and removes the staging directory.
func (a *agent) Close() error {
	var err error
	if a.tree != nil {
		err = a.tree.Close()
	}
	a.lies.close()
	if a.watch != nil {
		err = errors.Join(err, a.watch.Close())
	}
	return errors.Join(err, a.rig.close())
}
