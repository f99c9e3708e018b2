package trace

import (
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A spot is where a path of a tracee leads: a name in an open directory, or, if the
// name is "", the directory itself.
type spot struct {
	dir  int // opened with O_PATH
	name string
}

func (s spot) close() { unix.Close(s.dir) }

// A view is how one thread sees paths.
type view struct {
	tid    uint32
	root   int  // opened with O_PATH
	apart  bool // the root is not ours
	resolv *resolver
}

// A resolver finds spots. The kernel does it for who has our root and no path
// through the links of proc_pid_fd(5) and its like, which it would take for ours;
// for others each component is looked at (walk).
type resolver struct {
	root     int
	rootKey  key
	proc     uint64 // device of /proc
	chrooted bool   // somebody may have another root
}

func newResolver() (*resolver, error) {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	k, _, err := keyOf(fd, "")
	var proc key
	if err == nil {
		proc, _, err = keyOf(unix.AT_FDCWD, "/proc")
	}
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &resolver{root: fd, rootKey: k, proc: proc.dev}, nil
}

func (r *resolver) close() { unix.Close(r.root) }

func procPath(tid uint32, rest string) string {
	return "/proc/" + strconv.FormatUint(uint64(tid), 10) + "/" + rest
}

func openPath(at int, name string, flags int) (int, error) {
	return unix.Openat(at, name, unix.O_PATH|unix.O_CLOEXEC|flags, 0)
}

// view returns the view of a thread; close it.
func (r *resolver) view(tid uint32) (*view, error) {
	v := &view{tid: tid, root: r.root, resolv: r}
	if !r.chrooted {
		return v, nil
	}
	fd, err := openPath(unix.AT_FDCWD, procPath(tid, "root"), 0)
	if err != nil {
		return nil, err
	}
	k, _, err := keyOf(fd, "")
	if err != nil || k == r.rootKey {
		unix.Close(fd)
		return v, err
	}
	v.root, v.apart = fd, true
	return v, nil
}

func (v *view) close() {
	if v.apart {
		unix.Close(v.root)
	}
}

// base opens what a relative path begins at.
func (v *view) base(dirfd int32) (int, error) {
	if dirfd == unix.AT_FDCWD {
		return openPath(unix.AT_FDCWD, procPath(v.tid, "cwd"), 0)
	}
	fd, err := openPath(unix.AT_FDCWD, procPath(v.tid, "fd/"+strconv.Itoa(int(dirfd))), 0)
	if err == unix.ENOENT {
		err = unix.EBADF
	}
	return fd, err
}

// resolve finds the spot of a path, whose last component is not followed.
func (v *view) resolve(dirfd int32, name string) (spot, error) {
	if name == "" {
		return spot{}, unix.ENOENT
	}
	if name[0] == '/' {
		return v.from(v.root, name)
	}
	base, err := v.base(dirfd)
	if err != nil {
		return spot{}, err
	}
	defer unix.Close(base)
	return v.from(base, name)
}

// from finds a spot beginning at an open directory.
func (v *view) from(base int, name string) (spot, error) {
	if v.apart {
		return v.walk(base, name)
	}
	parent, last := splitPath(name)
	fd, err := unix.Openat2(base, parent, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS,
	})
	if err == unix.ELOOP {
		return v.walk(base, name)
	}
	if err != nil {
		return spot{}, err
	}
	k, _, err := keyOf(fd, "")
	if err == nil && k.dev != v.resolv.proc {
		return spot{fd, last}, nil
	}
	unix.Close(fd)
	if err != nil {
		return spot{}, err
	}
	return v.walk(base, name)
}

// splitPath cuts a path before its last component, which becomes "" where it names
// no entry of its parent.
func splitPath(name string) (parent, last string) {
	trimmed := strings.TrimRight(name, "/")
	if trimmed == "" {
		return "/", ""
	}
	slash := strings.LastIndexByte(trimmed, '/')
	last = trimmed[slash+1:]
	if last == "." || last == ".." {
		return trimmed, ""
	}
	switch slash {
	case -1:
		return ".", last
	case 0:
		return "/", last
	}
	return trimmed[:slash], last
}

// maxLinks is how many symlinks the kernel follows in one path (path_resolution(7)).
const maxLinks = 40

// follow goes on from a spot that is a symlink to where it leads.
func (v *view) follow(s spot) (spot, error) {
	for range maxLinks {
		if s.name == "" {
			return s, nil
		}
		_, st, err := keyOf(s.dir, s.name)
		if err == unix.ENOENT || err == nil && !isType(&st, unix.S_IFLNK) {
			return s, nil
		}
		if err != nil {
			s.close()
			return spot{}, err
		}
		next, err := v.behind(s)
		s.close()
		if err != nil {
			return spot{}, err
		}
		s = next
	}
	s.close()
	return spot{}, unix.ELOOP
}

// behind reads one symlink. A link of proc_pid_fd(5) has no text that could be
// walked: what it leads to is opened.
func (v *view) behind(s spot) (spot, error) {
	text, magic, err := v.readLink(s.dir, s.name)
	if err != nil {
		return spot{}, err
	}
	if !magic {
		base := s.dir
		if text[0] == '/' {
			base = v.root
		}
		return v.from(base, text)
	}
	fd, err := openPath(s.dir, s.name, 0)
	if err != nil {
		return spot{}, err
	}
	return spotOf(fd)
}

// readLink returns the text of a symlink, or says that it is a magic one. The links
// "self" and "thread-self" of /proc mean the tracee.
func (v *view) readLink(dir int, name string) (text string, magic bool, err error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", false, err
	}
	text = string(buf[:n])
	if text == "" {
		return "", false, unix.ENOENT
	}
	k, _, err := keyOf(dir, "")
	if err != nil || k.dev != v.resolv.proc {
		return text, false, err
	}
	switch {
	case name == "self" && isNumber(text):
		return strconv.Itoa(threadGroup(v.tid)), false, nil
	case name == "thread-self":
		return strconv.Itoa(threadGroup(v.tid)) + "/task/" + strconv.FormatUint(uint64(v.tid), 10), false, nil
	case name == "mounts" || name == "net":
		return text, false, nil
	}
	return text, true, nil
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// threadGroup is the process of a thread (proc_pid_status(5)); 0 if it is gone.
func threadGroup(tid uint32) int {
	b, err := os.ReadFile(procPath(tid, "status"))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "\nTgid:\t")
	number, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.Atoi(number)
	if err != nil {
		return 0
	}
	return n
}

// spotOf is the spot of something open, by the name it was opened by. It takes over
// the descriptor.
func spotOf(fd int) (spot, error) {
	k, st, err := keyOf(fd, "")
	if err != nil || isType(&st, unix.S_IFDIR) {
		return spot{fd, ""}, err
	}
	defer unix.Close(fd)
	full, err := pathOf(fd)
	if err != nil {
		return spot{}, err
	}
	if !path.IsAbs(full) {
		return spot{}, errNameless
	}
	dir, err := openPath(unix.AT_FDCWD, path.Dir(full), unix.O_DIRECTORY)
	if err != nil {
		return spot{}, errNameless
	}
	s := spot{dir, path.Base(full)}
	if now, _, err := keyOf(dir, s.name); err != nil || now != k {
		s.close()
		return spot{}, errNameless
	}
	return s, nil
}

// errNameless says that something open has no name (any more): a pipe, an unlinked
// file.
const errNameless = unix.ESTALE

// pathOf is the current path of something open.
func pathOf(fd int) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), buf)
	return string(buf[:max(n, 0)]), err
}

// walk finds a spot component by component.
func (v *view) walk(base int, name string) (spot, error) {
	w := walker{view: v, rest: name}
	if name[0] == '/' {
		base = v.root
	}
	var err error
	if w.at, err = openPath(base, ".", unix.O_DIRECTORY); err != nil {
		return spot{}, err
	}
	s, err := w.walk()
	if err != nil {
		unix.Close(w.at)
		return spot{}, err
	}
	return s, nil
}

// A walker is on its way along a path.
type walker struct {
	*view
	at    int
	rest  string
	links int
}

func (w *walker) walk() (spot, error) {
	for {
		var name string
		w.rest = strings.TrimLeft(w.rest, "/")
		if name, w.rest, _ = strings.Cut(w.rest, "/"); name == "" {
			return spot{w.at, ""}, nil
		}
		last := strings.Trim(w.rest, "/") == ""
		switch {
		case name == ".":
			continue
		case name == "..":
			if err := w.up(); err != nil {
				return spot{}, err
			}
			continue
		case last:
			return spot{w.at, name}, nil
		}
		if err := w.enter(name); err != nil {
			return spot{}, err
		}
	}
}

// up goes to the parent; that of a root is itself.
func (w *walker) up() error {
	here, _, err := keyOf(w.at, "")
	if err != nil {
		return err
	}
	top, _, err := keyOf(w.root, "")
	if err != nil || here == top {
		return err
	}
	return w.move("..")
}

func (w *walker) move(name string) error {
	fd, err := openPath(w.at, name, unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	unix.Close(w.at)
	w.at = fd
	return nil
}

// enter goes into a directory, or where a symlink leads.
func (w *walker) enter(name string) error {
	_, st, err := keyOf(w.at, name)
	if err != nil {
		return err
	}
	if !isType(&st, unix.S_IFLNK) {
		fd, err := openPath(w.at, name, unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if err != nil {
			return err
		}
		unix.Close(w.at)
		w.at = fd
		return nil
	}
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	text, magic, err := w.readLink(w.at, name)
	if err != nil {
		return err
	}
	if magic {
		return w.move(name)
	}
	if text[0] == '/' {
		top, err := openPath(w.root, ".", 0)
		if err != nil {
			return err
		}
		unix.Close(w.at)
		w.at = top
	}
	w.rest = text + "/" + w.rest
	return nil
}
