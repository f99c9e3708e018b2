package unpack

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

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
func (r *Root) lock() (*os.File, error) {
	if err := r.makeState(); err != nil {
		return nil, err
	}
	fd, err := r.sys.open(r.at(lockName), unix.O_RDONLY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, callError("open", r.at(lockName), err)
	}
	f := os.NewFile(uintptr(fd), r.at(lockName))
	for end := time.Now().Add(lockWait); ; time.Sleep(lockWait / 100) {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		if err = ErrBusy; time.Now().After(end) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
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
	w := bufio.NewWriterSize(&fileWriter{r.sys, f}, 256<<10)
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
	if err := r.sys.about("fsync", name); err != nil {
		return callError("fsync", name, err)
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

// A fileWriter announces what it writes.
type fileWriter struct {
	sys *system
	f   *os.File
}

func (w *fileWriter) Write(p []byte) (int, error) { return w.sys.write(w.f, p) }

// readFile returns the content of a small file of the state.
func (r *Root) readFile(name string) (text []byte, err error) {
	f, err := r.sys.openFile(name)
	if err != nil {
		return nil, err
	}
	text, err = io.ReadAll(f)
	return text, errors.Join(err, f.Close())
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

// nextNumber returns the number of the transaction to come.
func (r *Root) nextNumber() (int, error) {
	names, err := r.names(historyName)
	last := 0
	for _, name := range names {
		if n, err := strconv.Atoi(name); err == nil {
			last = max(last, n)
		}
	}
	return last + 1, err
}

// The files of a journal.
const (
	aboutFile     = "about"
	beforeFile    = "before.plist"
	afterFile     = "after.plist"
	recordDir     = "record"     // the package's record to be, until it is in its place
	oldRecordDir  = "old-record" // the one it had
	packagedFile  = "packaged.plist"
	installedFile = "installed.plist"
	displacedFile = "displaced.plist"
	sourcesFile   = "sources"
	numberFile    = "transaction"
)

// writeRecord makes the directory of a record.
func (r *Root) writeRecord(dir string, rec *Record) error {
	if err := r.sys.mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, file := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{packagedFile, writeList(rec.Packaged)},
		{installedFile, writeList(rec.Installed)},
		{displacedFile, writeList(rec.Displaced)},
		{sourcesFile, writeBytes(rec.sources.marshal())},
		{numberFile, writeBytes(fmt.Appendln(nil, rec.Transaction))},
	} {
		if err := r.writeFile(path.Join(dir, file.name), file.write); err != nil {
			return err
		}
	}
	return r.sys.fsync(dir)
}

// readRecord is the inverse of writeRecord; nil if there is none.
func (r *Root) readRecord(dir string) (*Record, error) {
	if ok, err := r.sys.exists(dir); !ok {
		return nil, err
	}
	rec := &Record{sources: make(sourceMap)}
	for name, list := range map[string]**plist.List{
		packagedFile: &rec.Packaged, installedFile: &rec.Installed, displacedFile: &rec.Displaced,
	} {
		var err error
		if *list, err = r.readList(path.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	text, err := r.readFile(path.Join(dir, sourcesFile))
	if err != nil {
		return nil, err
	}
	if err := rec.sources.unmarshal(text); err != nil {
		return nil, fmt.Errorf("/%s: %w", path.Join(dir, sourcesFile), err)
	}
	if text, err = r.readFile(path.Join(dir, numberFile)); err != nil {
		return nil, err
	}
	if _, err := fmt.Sscanln(string(text), &rec.Transaction); err != nil {
		return nil, fmt.Errorf("/%s: %w", path.Join(dir, numberFile), err)
	}
	return rec, nil
}

// writeJournal makes a transaction the pending one: all of it or nothing.
func (r *Root) writeJournal(t *Transaction, rec *Record) error {
	dir := r.at(unfinishedName)
	if err := r.sys.mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, file := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{aboutFile, writeBytes(t.marshal())},
		{beforeFile, writeList(t.Before)},
		{afterFile, writeList(t.After)},
		{string(swapped) + unsetSuffix, nil},
		{string(aborted) + unsetSuffix, nil},
		{string(reverted) + unsetSuffix, nil},
	} {
		if err := r.writeFile(path.Join(dir, file.name), file.write); err != nil {
			return err
		}
	}
	if rec != nil {
		if err := r.writeRecord(path.Join(dir, recordDir), rec); err != nil {
			return err
		}
	}
	if err := r.sys.fsync(dir); err != nil {
		return err
	}
	if err := r.sys.rename(dir, r.at(pendingName), unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	return r.sys.fsync(r.state)
}

// readJournal reads the transaction in a directory of the state.
func (r *Root) readJournal(dir string) (*Transaction, error) {
	text, err := r.readFile(path.Join(dir, aboutFile))
	if err != nil {
		return nil, err
	}
	t := &Transaction{}
	if err := t.unmarshal(text); err != nil {
		return nil, fmt.Errorf("/%s: %w", dir, err)
	}
	if t.Before, err = r.readList(path.Join(dir, beforeFile)); err != nil {
		return nil, err
	}
	t.After, err = r.readList(path.Join(dir, afterFile))
	return t, err
}

// A mark says how far the pending transaction is: each stands for a barrier that
// was passed. All but the first are empty and made together with the journal, so
// that a full disk can not forbid to set them.
type mark string

const (
	committed mark = "committed" // all is staged; go forward
	swapped   mark = "swapped"   // all is in its place
	aborted   mark = "aborted"   // it was committed; go back nevertheless
	reverted  mark = "reverted"  // all is in its old place
)

const unsetSuffix = ".unset"

// commit sets the first mark.
func (r *Root) commit(text []byte) error {
	if err := r.writeFile(r.at(pendingName, string(committed)+unsetSuffix), writeBytes(text)); err != nil {
		return err
	}
	return r.setMark(committed)
}

// setMark has a mark on the disk when it returns.
func (r *Root) setMark(m mark) error {
	name := r.at(pendingName, string(m))
	if err := r.sys.rename(name+unsetSuffix, name, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	return r.sys.fsync(r.at(pendingName))
}

func (r *Root) hasMark(m mark) (bool, error) {
	return r.sys.exists(r.at(pendingName, string(m)))
}
