//go:build linux && amd64

package redirect

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A view is the merged view of the staging tree over the root.
type view struct {
	hidden string // the staging directory, which nobody sees
	tree   string // in it: the staging tree
	work   string // in it: where a copy is made before it gets its place

	uid, gid uint32 // ours, which are shown as 0

	faces map[key]*face

	// held are the names that raised directories held before. What others have made
	// there since is not in the view, and was not removed from it.
	held map[string][]string

	closed string // the last path that was closed to us
}

type key struct{ dev, ino uint64 }

func keyOf(st *unix.Stat_t) key { return key{st.Dev, st.Ino} }

// A face is what is known of an inode of the staging tree beyond what the kernel
// knows.
type face struct {
	stub   bool // it stands for what the root has in its place; nothing else is known
	raised bool // a directory of the root, too

	uid, gid uint32
	mode     uint32 // with the type
	rdev     uint64

	from  key               // the inode in the root that it was copied from, or zero
	flags uint32            // inode flags of that, and
	xattr map[string]string // extended attributes, that a copy may not have
}

func newView(dir string) (*view, error) {
	v := &view{
		hidden: dir, tree: dir + "/tree", work: dir + "/work",
		uid: uint32(os.Geteuid()), gid: uint32(os.Getegid()), faces: make(map[key]*face), held: make(map[string][]string),
	}
	for _, d := range []string{v.tree, v.work} {
		if err := os.Mkdir(d, 0o700); err != nil {
			return nil, err
		}
	}
	return v, v.fill("/")
}

// live are the directories that are no place for files.
var live = []string{"/proc", "/dev", "/sys"}

func isLive(name string) bool { return within(name, live...) }

func within(name string, dirs ...string) bool {
	for _, dir := range dirs {
		if name == dir || strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

// isMachine reports whether a path is live and of the machine: not of processes, and no
// place where every user may make names.
func isMachine(name string) bool {
	process, isProc := strings.CutPrefix(name, "/proc/")
	switch {
	case isProc && process != "" && process[0] >= '1' && process[0] <= '9':
		return false
	case within(name, "/dev/shm", "/dev/mqueue", "/dev/pts"):
		return false
	}
	return isLive(name)
}

// staged is where the staging tree has, or would have, a path of the view.
func (v *view) staged(name string) string {
	if name == "/" {
		return v.tree
	}
	return v.tree + name
}

// inside turns a path of the kernel's into one of the view.
func (v *view) inside(host string) string {
	if rest, ok := strings.CutPrefix(host, v.tree); ok && (rest == "" || rest[0] == '/') {
		return path.Clean("/" + rest)
	}
	return host
}

// A place is one path of the view.
type place struct {
	path   string      // absolute, no symlinks before its last name
	staged bool        // what it is, is in the staging tree; or would be, if it were
	st     unix.Stat_t // Mode 0: there is nothing
	other  bool        // the kernel may find another place by the words that led here
}

func (p *place) exists() bool          { return p.st.Mode != 0 }
func (p *place) is(typ uint32) bool    { return p.st.Mode&unix.S_IFMT == typ }
func (v *view) host(p *place) string   { return v.hostOf(p.path, p.staged) }
func (v *view) face(p *place) *face    { return v.faces[keyOf(&p.st)] }
func (v *view) raised(p *place) bool   { f := v.face(p); return p.staged && f != nil && f.raised }
func (v *view) isOld(p *place) bool    { return !p.staged || v.raised(p) }
func join(dir, name string) string     { return strings.TrimSuffix(dir, "/") + "/" + name }
func (p *place) child(n string) string { return join(p.path, n) }

func (v *view) hostOf(name string, staged bool) string {
	if staged {
		return v.staged(name)
	}
	return name
}

// directory is the place of a directory that the kernel has at a path of its own.
func (v *view) directory(host string) place {
	name := v.inside(host)
	p := place{path: name, staged: name != host || host == v.tree}
	if !p.staged {
		var st unix.Stat_t
		if unix.Lstat(v.staged(name), &st) == nil {
			f := v.faces[keyOf(&st)]
			p.staged = f != nil && f.raised
		}
	}
	p.st.Mode = unix.S_IFDIR
	return p
}

// lookup finds a name in a directory of the view.
func (v *view) lookup(dir *place, name string) (place, error) {
	p := place{path: dir.child(name), staged: dir.staged, other: dir.other}
	if p.path == v.hidden {
		return p, nil
	}
	err := unix.Lstat(v.host(&p), &p.st)
	if err == nil && p.staged {
		if f := v.face(&p); f != nil && f.stub {
			p.staged = false
			err = unix.Lstat(p.path, &p.st)
		}
	}
	if err == unix.ENOENT {
		p.st = unix.Stat_t{}
		return p, nil
	}
	if err == unix.EACCES {
		v.closed = dir.path
	}
	if p.staged && (p.is(unix.S_IFLNK) || p.is(unix.S_IFDIR) && !v.raised(&p)) {
		p.other = true
	}
	return p, err
}

// maxLinks is MAXSYMLINKS of linux/namei.h.
const maxLinks = 40

// A walk resolves a path as path_resolution(7) has it.
type walk struct {
	*view
	tid   int // whose /proc/self it is
	links int
}

// resolve goes from a directory along a path that is not empty. With follow the last
// name is not left as a symlink.
func (w *walk) resolve(from place, name string, follow bool) (place, error) {
	at := from
	if name[0] == '/' {
		at = w.directory("/")
		at.other = from.other
		if inside := w.inside(name); inside != name {
			name, at.other = inside, true
		}
	}
	mustBeDir := strings.HasSuffix(name, "/") || strings.HasSuffix(name, "/.") || strings.HasSuffix(name, "/..")
	for rest := name; rest != ""; {
		var word string
		word, rest, _ = strings.Cut(rest, "/")
		if word == "" {
			continue
		}
		if !at.exists() {
			return at, unix.ENOENT
		}
		if !at.is(unix.S_IFDIR) {
			return at, unix.ENOTDIR
		}
		switch {
		case word == ".":
			continue
		case word == "..":
			other := at.other
			at = w.directory(path.Dir(at.path))
			at.other = other
			continue
		case at.path == "/proc" && (word == "self" || word == "thread-self"):
			word = strconv.Itoa(w.tid)
		}
		p, err := w.lookup(&at, word)
		if err != nil {
			return p, err
		}
		last := strings.Trim(rest, "/") == ""
		if !p.is(unix.S_IFLNK) || last && !follow && !mustBeDir {
			at = p
			continue
		}
		target, err := w.target(&p)
		if err != nil {
			return p, err
		}
		if target == "" { // of /proc, and leads to what has no path
			p.st.Mode = unix.S_IFREG
			at = p
			continue
		}
		if w.links++; w.links > maxLinks {
			return p, unix.ELOOP
		}
		at.other = at.other || p.other
		if at, err = w.resolve(at, target, follow || !last || mustBeDir); err != nil {
			return at, err
		}
	}
	if mustBeDir && at.exists() && !at.is(unix.S_IFDIR) {
		return at, unix.ENOTDIR
	}
	if at.exists() && at.st.Ino == 0 { // a directory's place
		return at, unix.Lstat(w.host(&at), &at.st)
	}
	return at, nil
}

// target reads a symlink, as a path of the view. Those of /proc/PID lead to files and
// not to paths: it is empty for one without.
func (w *walk) target(p *place) (string, error) {
	text, err := os.Readlink(w.host(p))
	if err != nil {
		return "", errno(err)
	}
	if !isMagic(p.path) {
		return text, nil
	}
	if !strings.HasPrefix(text, "/") {
		return "", nil
	}
	var st, there unix.Stat_t
	if unix.Stat(p.path, &st) != nil || unix.Lstat(text, &there) != nil || keyOf(&st) != keyOf(&there) {
		return "", nil
	}
	return w.inside(text), nil
}

// isMagic reports whether a symlink is one of proc_pid_fd(5) and its like.
func isMagic(name string) bool {
	words := strings.Split(name, "/")
	if len(words) < 4 || words[1] != "proc" {
		return false
	}
	if _, err := strconv.Atoi(words[2]); err != nil {
		return false
	}
	switch last := words[len(words)-1]; last {
	case "cwd", "root", "exe":
		return true
	}
	return words[len(words)-2] == "fd" || words[len(words)-2] == "map_files"
}

func errno(err error) error {
	var e unix.Errno
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.Is(err, fs.ErrNotExist):
		return unix.ENOENT
	}
	return unix.EIO
}

// raise makes sure that a directory of the view is in the staging tree.
func (v *view) raise(name string) error {
	if p := v.directory(name); p.staged {
		return nil
	}
	var st unix.Stat_t
	if unix.Lstat(v.staged(name), &st) == nil {
		if f := v.faces[keyOf(&st)]; f == nil || !f.stub { // made by the command
			return nil
		}
	}
	if err := v.raise(path.Dir(name)); err != nil {
		return err
	}
	return v.fill(name)
}

// open opens what is below, to be read.
func (v *view) open(name string) (*os.File, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		v.closed = name
	}
	return f, err
}

// fill makes a raised directory of a stub.
func (v *view) fill(name string) error {
	lower, err := v.open(name)
	if err != nil {
		return errno(err)
	}
	defer lower.Close()
	names, err := lower.ReadDir(-1)
	if err != nil {
		return errno(err)
	}
	upper, err := unix.Open(v.staged(name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(upper)
	var held []string
	for _, entry := range names {
		if join(name, entry.Name()) == v.hidden {
			continue
		}
		held = append(held, entry.Name())
		if err := v.stub(upper, name, entry); err != nil {
			return err
		}
	}
	v.held[name] = held
	return v.dress(name)
}

// stub makes a name in a directory that shows no more than what it is.
func (v *view) stub(upper int, dir string, entry fs.DirEntry) error {
	name := entry.Name()
	var err error
	switch entry.Type() {
	case fs.ModeDir:
		err = unix.Mkdirat(upper, name, 0o700)
	case fs.ModeSymlink:
		var text string
		if text, err = os.Readlink(join(dir, name)); err == nil {
			err = unix.Symlinkat(text, upper, name)
		}
	case fs.ModeNamedPipe:
		err = unix.Mknodat(upper, name, unix.S_IFIFO|0o600, 0)
	case fs.ModeSocket:
		err = unix.Mknodat(upper, name, unix.S_IFSOCK|0o600, 0)
	default:
		err = unix.Mknodat(upper, name, unix.S_IFREG|0o600, 0)
	}
	if err == unix.ENOENT { // gone meanwhile
		return nil
	}
	if err != nil && err != unix.EEXIST {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(upper, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	v.faces[keyOf(&st)] = &face{stub: true}
	return nil
}

// dress gives what is staged at a path, and was made for it, the attributes of what
// is below, and a face.
func (v *view) dress(name string) error {
	var below unix.Stat_t
	if err := unix.Lstat(name, &below); err != nil {
		return err
	}
	was, _, err := lstat(name)
	if err != nil {
		return errno(err)
	}
	host := v.staged(name)
	f := &face{raised: below.Mode&unix.S_IFMT == unix.S_IFDIR, from: keyOf(&below), rdev: below.Rdev}
	shown := below
	v.show(&shown)
	f.uid, f.gid, f.mode = shown.Uid, shown.Gid, shown.Mode
	if below.Mode&unix.S_IFMT != unix.S_IFLNK {
		if err := unix.Chmod(host, loose(below.Mode)); err != nil {
			return err
		}
	}
	for attr, value := range was.Xattrs {
		if unix.Lsetxattr(host, attr, []byte(value), 0) != nil {
			if f.xattr == nil {
				f.xattr = make(map[string]string)
			}
			f.xattr[attr] = value
		}
	}
	if was.Flags != 0 {
		dir, err := unix.Open(path.Dir(host), unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		if capture.SetFlags(dir, path.Base(host), &was) != nil {
			f.flags = was.Flags
		}
		unix.Close(dir)
	}
	times := []unix.Timespec{below.Atim, below.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, host, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Lstat(host, &st); err != nil {
		return err
	}
	v.faces[keyOf(&st)] = f
	return nil
}

// lstat reads all attributes of a host path, or what can be had without opening it.
func lstat(host string) (plist.Entry, capture.Inode, error) {
	dir, err := unix.Open(filepath.Dir(host), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return plist.Entry{}, capture.Inode{}, err
	}
	defer unix.Close(dir)
	name := filepath.Base(host)
	if host == "/" {
		name = "."
	}
	e, inode, err := capture.Lstat(dir, name)
	if errors.Is(err, unix.EACCES) {
		return capture.LstatQuick(dir, name)
	}
	return e, inode, err
}

// loose is the mode that a file of ours really has, so that we may use it as root
// may use any.
func loose(mode uint32) uint32 {
	mode |= 0o600
	if mode&unix.S_IFMT == unix.S_IFDIR {
		mode |= 0o100
	}
	return mode & 0o7777
}

// show turns what the kernel tells of a file into what the command is to be told.
func (v *view) show(st *unix.Stat_t) {
	if f := v.faces[keyOf(st)]; f != nil && !f.stub {
		st.Uid, st.Gid, st.Mode, st.Rdev = f.uid, f.gid, f.mode, f.rdev
		if f.from.ino != 0 && (st.Nlink == 1 || f.raised) {
			st.Dev, st.Ino = f.from.dev, f.from.ino
		}
		return
	}
	if st.Uid == v.uid {
		st.Uid = 0
	}
	if st.Gid == v.gid {
		st.Gid = 0
	}
}

// isShown reports whether the kernel tells what the command is to be told.
func (v *view) isShown(st *unix.Stat_t) bool {
	shown := *st
	v.show(&shown)
	return shown == *st
}

// faceOf returns the face of what is staged, made if it has none.
func (v *view) faceOf(st *unix.Stat_t) *face {
	f := v.faces[keyOf(st)]
	if f == nil {
		shown := *st
		v.show(&shown)
		f = &face{uid: shown.Uid, gid: shown.Gid, mode: shown.Mode, rdev: shown.Rdev}
		v.faces[keyOf(st)] = f
	}
	return f
}

// forget forgets an inode whose last name is gone.
func (v *view) forget(st *unix.Stat_t) {
	if st.Nlink <= 1 || st.Mode&unix.S_IFMT == unix.S_IFDIR {
		delete(v.faces, keyOf(st))
	}
}

// made sees to what the command has just made: a path of the staging tree, or a
// descriptor of /proc. Dir is the directory's place in the view.
func (v *view) made(host, dir string) error {
	var st, above unix.Stat_t
	err := unix.Lstat(host, &st)
	if err == nil && isMagic(host) {
		err = unix.Stat(host, &st)
	}
	if err == nil {
		err = unix.Lstat(v.staged(dir), &above)
	}
	if err != nil {
		return err
	}
	delete(v.faces, keyOf(&st)) // of who had the number before
	if v.show(&above); above.Mode&unix.S_ISGID != 0 && above.Gid != 0 {
		v.faceOf(&st).gid = above.Gid
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK || loose(st.Mode) == st.Mode&0o7777 {
		return nil
	}
	v.faceOf(&st)
	return unix.Chmod(host, loose(st.Mode))
}

// stage makes sure that what is at a place is in the staging tree. Without content a
// regular file is not read, as it is to be truncated.
func (v *view) stage(p *place, content bool) error {
	if p.staged {
		return nil
	}
	if p.is(unix.S_IFDIR) {
		if err := v.raise(p.path); err != nil {
			return err
		}
		p.staged = true
		return unix.Lstat(v.staged(p.path), &p.st)
	}
	dir := path.Dir(p.path)
	if err := v.raise(dir); err != nil {
		return err
	}
	var above, stub unix.Stat_t
	if err := unix.Lstat(v.staged(dir), &above); err != nil {
		return err
	}
	host := v.staged(p.path)
	if err := unix.Lstat(host, &stub); err != nil {
		return err
	}
	if p.is(unix.S_IFREG) {
		if err := v.copyUp(p.path, content); err != nil {
			return err
		}
		v.forget(&stub)
	}
	if err := v.dress(p.path); err != nil {
		return err
	}
	times := []unix.Timespec{above.Atim, above.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, v.staged(dir), times, 0); err != nil {
		return err
	}
	p.staged = true
	return unix.Lstat(host, &p.st)
}

// copyUp puts a copy of a regular file into the place of its stub, empty without
// content.
func (v *view) copyUp(name string, content bool) error {
	to, err := os.OpenFile(v.work+"/copy", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return errno(err)
	}
	if content {
		err = v.copyTo(to, name)
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return errno(err)
	}
	return errno(os.Rename(to.Name(), v.staged(name)))
}

func (v *view) copyTo(to *os.File, name string) error {
	from, err := v.open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	return capture.CopyContent(to, from)
}
