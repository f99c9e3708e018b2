package overlay

import (
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// devices are those that a rootless sandbox can use: a device node on an overlay in
// a user namespace can not be opened, so the host's own are mounted on them. That of FUSE
// is for another sandbox inside: it gives nobody more than a mount in his own namespaces.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty", "fuse"}

// rootlessLayout is layout for a sandbox whose root is one overlay on a mirror,
// which has all that is mounted on the host.
func (s *survey) rootlessLayout(opt choices, mirror string) ([]site, []plist.Note) {
	l := &layouter{survey: s, opt: opt}
	l.add(site{path: ".", how: overlaid, from: mirror, fstype: "mirror"})
	for _, m := range s.mounts {
		if _, ok := below(m.point, s.root); ok && m.err != nil {
			l.hole("%s (%s) is not shown inside: %v", m.point, m.fstype, m.err)
		}
	}
	l.add(site{path: "proc", how: fresh, fstype: "proc"})
	for _, name := range protectedProc {
		l.add(site{path: "proc/" + name, how: readOnly, fstype: "proc"})
	}
	l.add(site{path: "sys", how: boundTree, from: "/sys", fstype: "sysfs", attr: unix.MOUNT_ATTR_RDONLY})
	for _, name := range devices {
		from := "/dev/" + name
		if info, err := os.Lstat(from); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			l.add(site{path: from[1:], how: bound, from: from, fstype: "devtmpfs"})
		}
	}
	for _, m := range s.mounts {
		switch {
		case m.point == "/dev/pts" && m.err == nil:
			l.add(site{path: "dev/pts", how: terminals, fstype: m.fstype})
			if opt.terminal != "" {
				l.add(site{path: "dev/console", how: bound, from: opt.terminal, fstype: m.fstype})
			}
		case m.point == "/dev/mqueue" && m.err == nil:
			l.add(site{path: "dev/mqueue", how: fresh, fstype: m.fstype})
		}
	}
	for _, run := range s.runs {
		l.addRunOf(run, mirror)
	}
	if rel, ok := below(opt.staging, s.root); ok && (opt.shareRun || !within(rel, s.runs)) {
		l.add(site{path: rel, how: hidden, fstype: "tmpfs"})
	}
	slices.SortStableFunc(l.sites, func(a, b site) int { return plist.ComparePaths(a.path, b.path) })
	return l.sites, l.notes
}

// terminalOf returns the path of the pseudo-terminal that a command reads or writes; "" if
// there is none. Inside it has the name of the console, by which ttyname(3) finds it.
func terminalOf(cmd capture.Command) string {
	for _, f := range []*os.File{cmd.Stdin, cmd.Stdout, cmd.Stderr} {
		if f == nil {
			continue
		}
		if name, err := os.Readlink(procFD(f)); err == nil && path.Dir(name) == "/dev/pts" {
			return name
		}
	}
	return ""
}

// twins are what of the root is mounted at a second place in it.
func (s *survey) twins() []site {
	l := &layouter{survey: s}
	device, part := s.partOf(s.root)
	l.add(site{path: ".", how: overlaid, device: device, part: part})
	for _, m := range s.mounts {
		p := site{how: bound}
		var ok bool
		if p.path, ok = below(m.point, s.root); ok && m.err == nil && !pseudo[m.fstype] && p.setFile(m) {
			l.add(p)
		}
	}
	l.findTwins()
	return slices.DeleteFunc(l.sites, func(p site) bool { return p.twin == "" })
}

// addRunOf adds /run: a new one, or the host's.
func (l *layouter) addRunOf(run, mirror string) {
	if !l.opt.shareRun {
		l.add(site{path: run, how: skeleton, from: path.Join(mirror, run), fstype: "tmpfs"})
		return
	}
	l.notes = append(l.notes, plist.Note{
		Kind: plist.NoteShared,
		Text: "/" + run + " is the host's: daemons could be reached, and what was written there is not in the list",
	})
	l.add(site{path: run, how: boundTree, from: path.Join(l.root, run), fstype: "tmpfs"})
}
