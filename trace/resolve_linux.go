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
	proc     uint64          // device of our /proc
	procs    map[uint64]bool // devices, and whether they are such
	chrooted bool            // somebody may have another root
}

// isProc reports whether what is open is in a /proc: each pid namespace has its own.
func (r *resolver) isProc(fd int, device uint64) bool {
	is, known := r.procs[device]
	if !known {
		var st unix.Statfs_t
		is = unix.Fstatfs(fd, &st) == nil && st.Type == unix.PROC_SUPER_MAGIC
		r.procs[device] = is
	}
	return is
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
	return &resolver{root: fd, rootKey: k, proc: proc.dev, procs: make(map[uint64]bool)}, nil
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
	parent, last := splitPath(name)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_MAGICLINKS}
	switch {
	case v.apart && name[0] == '/':
		base, how.Resolve = v.root, how.Resolve|unix.RESOLVE_IN_ROOT
	case v.apart: // and where it leads out, or to another root's
		how.Resolve |= unix.RESOLVE_BENEATH
	}
	fd, err := unix.Openat2(base, parent, &how)
	// In the /proc of another pid namespace we have no "self": ENOENT.
	if err == unix.ELOOP || v.apart && (err == unix.EXDEV || err == unix.EAGAIN || err == unix.ENOENT) {
		return v.walk(base, name)
	}
	if err != nil {
		return spot{}, err
	}
	k, _, err := keyOf(fd, "")
	if err == nil && !v.resolv.isProc(fd, k.dev) {
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
	return v.spotOf(fd)
}

// readLink returns the text of a symlink, or says that it is a magic one. The links
// "self" and "thread-self" of /proc mean the tracee.
func (v *view) readLink(dir int, name string) (text string, magic bool, err error) {
	k, _, err := keyOf(dir, "")
	if err != nil {
		return "", false, err
	}
	isProc := v.resolv.isProc(dir, k.dev)
	if isProc && k.ino == procRoot {
		switch name {
		case "self":
			return v.process(k.dev, "Tgid", "NStgid"), false, nil
		case "thread-self":
			return v.process(k.dev, "Tgid", "NStgid") + "/task/" + v.process(k.dev, "Pid", "NSpid"), false, nil
		}
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", false, err
	}
	if text = string(buf[:n]); text == "" {
		return "", false, unix.ENOENT
	}
	return text, isProc && name != "mounts" && name != "net", nil
}

// procRoot is the inode number of the root of a /proc (linux/proc_ns.h).
const procRoot = 1

// process returns the tracee's number in a /proc: one line of its status, or, if it is
// the /proc of another pid namespace, which is the tracee's then, the last word of
// another line.
func (v *view) process(device uint64, ours, theirs string) string {
	b, err := os.ReadFile(procPath(v.tid, "status"))
	if err != nil {
		return "0" // it is gone, and so is what it asked for
	}
	line := ours
	if device != v.resolv.proc {
		line = theirs
	}
	_, rest, _ := strings.Cut(string(b), "\n"+line+":")
	rest, _, _ = strings.Cut(rest, "\n")
	words := strings.Fields(rest)
	if len(words) == 0 {
		return "0"
	}
	return words[len(words)-1]
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}

// spotOf is the spot of something open, by the name it was opened by. It takes over
// the descriptor.
func (v *view) spotOf(fd int) (spot, error) {
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
	// In a mount namespace of its own, the tracee's root is the one that is meant.
	for _, root := range []int{v.resolv.root, v.root} {
		dir, err := unix.Openat2(root, path.Dir(full), &unix.OpenHow{
			Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
		if err != nil {
			continue
		}
		s := spot{dir, path.Base(full)}
		if now, _, err := keyOf(dir, s.name); err == nil && now == k {
			return s, nil
		}
		s.close()
	}
	return spot{}, errNameless
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
