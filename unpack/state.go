package unpack

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// The names in the state directory.
const (
	lockName       = "lock"
	packagesName   = "packages"
	historyName    = "history"
	keptName       = "kept"
	pendingName    = "pending"
	unfinishedName = "pending.new" // a journal being written
	droppedName    = "pending.old" // one being removed
)

// at returns the path of something in the state directory.
func (r *Root) at(elem ...string) string {
	return path.Join(append([]string{r.state}, elem...)...)
}

// ErrBusy says that another process is changing the root.
var ErrBusy = errors.New("another process is changing this root")

// lockWait is how long the lock is waited for. A process that was just forked
// holds it, too, until it executes another program.
const lockWait = time.Second

// lock makes the state directory if need be and takes its lock. Closing the file
// gives it back, and so does the death of the process.
func (r *Root) lock() (io.Closer, error) {
	if err := r.makeState(); err != nil {
		return nil, err
	}
	for end := time.Now().Add(lockWait); ; time.Sleep(lockWait / 100) {
		lock, err := r.sys.disk.lock(r.at(lockName))
		if !errors.Is(err, ErrBusy) || time.Now().After(end) {
			return lock, err
		}
	}
}

// makeState makes what is missing of the state directory.
func (r *Root) makeState() error {
	if ok, err := r.sys.exists(r.at(lockName)); ok || err != nil {
		return err
	}
	for i := range r.state {
		if r.state[i] == '/' {
			if err := r.makeDir(r.state[:i], 0o755); err != nil {
				return err
			}
		}
	}
	for _, d := range []struct {
		name string
		perm uint32
	}{{"", 0o755}, {packagesName, 0o755}, {historyName, 0o755}, {keptName, 0o700}} {
		if err := r.makeDir(r.at(d.name), d.perm); err != nil {
			return err
		}
	}
	if err := r.writeFile(r.at(lockName), nil); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return r.sys.fsync(r.state)
}

// makeDir makes a directory, if it is not there, and has it on the disk.
func (r *Root) makeDir(name string, perm uint32) error {
	err := r.sys.mkdir(name, perm)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return r.sys.fsync(path.Dir(name))
}

// writeFile makes a file of the state, on the disk when it returns.
func (r *Root) writeFile(name string, write func(io.Writer) error) (err error) {
	f, err := r.sys.create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 256<<10)
	if write != nil {
		if err := write(w); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	return f.Sync()
}

func writeBytes(p []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(p)
		return err
	}
}

func writeList(l *plist.List) func(io.Writer) error {
	return func(w io.Writer) error { return plist.WriteNative(w, l) }
}

// readFile returns the content of a small file of the state.
func (r *Root) readFile(name string) (text []byte, err error) {
	f, err := r.sys.openFile(name)
	if err != nil {
		return nil, err
	}
	text, err = io.ReadAll(f)
	return text, errors.Join(err, f.Close())
}

// readAll reads a small file to its end, and closes it.
func readAll(f plist.File) (string, error) {
	text, err := io.ReadAll(f)
	return string(text), errors.Join(err, f.Close())
}

func (r *Root) readList(name string) (*plist.List, error) {
	f, err := r.sys.openFile(name)
	if err != nil {
		return nil, err
	}
	l, err := plist.ReadNative(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("/%s: %w", name, err)
	}
	return l, nil
}

// names returns what is in a directory of the state; nothing if it is not there.
func (r *Root) names(dir string) ([]string, error) {
	names, err := r.sys.readDir(r.at(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return names, err
}
