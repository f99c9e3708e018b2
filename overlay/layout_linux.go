package overlay

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A site is one mount to be made inside.
type site struct {
	path   string // entry path of the mount point
	how    how
	from   string // host path of what is shown there
	fstype string
	attr   uint64 // MOUNT_ATTR_* (mount_setattr(2)); of a bind, what is added

	// What an overlay or a copy shows: the file system, by major:minor, and what
	// of it, as a path in it.
	device, part string

	// twin is set if another overlay, that of the site twinIn, shows the same file
	// or directory: both are entry paths.
	twin, twinIn string
}

// name is the absolute path of the mount point.
func (s *site) name() string { return path.Join("/", s.path) }

// how says what is made of a host mount inside.
type how string

const (
	overlaid  how = "overlay"   // an overlay on from
	skeleton  how = "skeleton"  // an overlay on a few directories like those of from
	copied    how = "copy"      // a private copy of a mounted file
	bound     how = "bind"      // the same mount
	boundTree how = "bind tree" // and all that is mounted below it
	fresh     how = "new"       // a new file system of that type
	readOnly  how = "read-only" // what is there already, if it is
	terminals how = "terminals" // new pseudo-terminals (pts(4)), and beside them what opens one
	hidden    how = "hide"      // an empty directory that cannot be entered
)

// choices is what a layout depends on but the host.
type choices struct {
	shareRun bool
	staging  string // host path of the staging directory; "" if no path leads to it
	terminal string // host path of the command's, in /dev/pts; "" if it has none
}

// pseudo are file systems that show the kernel and not files. The ones with a
// life of their own (proc, devpts, mqueue, autofs) are no part of the table.
var pseudo = map[string]bool{
	"proc": true, "sysfs": true, "cgroup": true, "cgroup2": true, "debugfs": true, "tracefs": true,
	"bpf": true, "securityfs": true, "selinuxfs": true, "smackfs": true, "pstore": true, "efivarfs": true,
	"configfs": true, "fusectl": true, "binfmt_misc": true, "hugetlbfs": true, "nsfs": true,
	"rpc_pipefs": true, "nfsd": true, "resctrl": true,
}

// remote are file systems with files of their own but without a block device.
var remote = map[string]bool{
	"btrfs": true, "zfs": true, "bcachefs": true, "nfs": true, "nfs4": true, "cifs": true, "smb3": true,
	"9p": true, "virtiofs": true, "ceph": true, "afs": true, "overlay": false,
}

// protectedProc are the parts of /proc that belong to no namespace: a write there
// would change the host (proc(5)).
var protectedProc = []string{"acpi", "bus", "fs", "irq", "mtrr", "scsi", "sys", "sysrq-trigger"}

// layout decides what is mounted where, parents first, and says which sites are
// left out.
func (s *survey) layout(opt choices) ([]site, []plist.Note) {
	l := &layouter{survey: s, opt: opt}
	device, part := l.partOf(s.root)
	l.add(site{path: ".", how: overlaid, from: s.root, fstype: l.fstypeOf(s.root), attr: l.attrOf(s.root), device: device, part: part})
	for _, m := range s.mounts {
		if rel, ok := below(m.point, s.root); ok {
			l.site(rel, m)
		}
	}
	l.addKernel()
	l.addRun()
	for _, node := range s.disks {
		l.add(site{path: node[1:], how: bound, from: node, fstype: "device", attr: unix.MOUNT_ATTR_NODEV})
	}
	if rel, ok := below(opt.staging, s.root); ok && (opt.shareRun || !within(rel, s.runs)) {
		l.add(site{path: rel, how: hidden, fstype: "tmpfs"})
	}
	slices.SortStableFunc(l.sites, func(a, b site) int { return plist.ComparePaths(a.path, b.path) })
	l.findTwins()
	return l.sites, l.notes
}

type layouter struct {
	*survey
	opt   choices
	sites []site
	notes []plist.Note
}

func (l *layouter) add(p site) { l.sites = append(l.sites, p) }

func (l *layouter) hole(format string, args ...any) {
	l.notes = append(l.notes, plist.Note{Kind: plist.NoteHole, Text: fmt.Sprintf(format, args...)})
}

// below returns the entry path of a host path that lies strictly below root.
func below(name, root string) (string, bool) {
	rel, ok := strings.CutPrefix(name, strings.TrimSuffix(root, "/")+"/")
	return rel, ok && rel != ""
}

// site finds the site of a host mount that is seen at rel.
func (l *layouter) site(rel string, m mount) {
	p := site{path: rel, how: bound, from: m.point, fstype: m.fstype}
	switch {
	case plist.Within(rel, "proc") || plist.Within(rel, "sys"):
		return // addKernel's
	case within(rel, l.runs):
		l.siteInRun(p, m)
		return
	case m.err != nil:
		l.hole("%s (%s) is not shown inside: %v", m.point, m.fstype, m.err)
		return
	case m.fstype == "autofs":
		l.hole("%s is an automount point: what it would mount is not shown inside", m.point)
		return
	case m.fstype == "mqueue":
		p.how, p.from = fresh, ""
	case m.fstype == "devpts":
	case pseudo[m.fstype]:
		p.attr = unix.MOUNT_ATTR_RDONLY
	default:
		if !p.setFile(m) {
			return
		}
	}
	l.add(p)
}

// findTwins finds what is shown at two places, as by a bind mount: inside, both
// names should lead to the same file as well. The place that shows more of the
// file system, or comes first, keeps the overlay.
func (l *layouter) findTwins() {
	var order []*site
	for i := range l.sites {
		if l.sites[i].device != "" {
			order = append(order, &l.sites[i])
		}
	}
	slices.SortStableFunc(order, func(a, b *site) int { return len(a.part) - len(b.part) })
	for i, s := range order {
		for _, t := range order[:i] {
			rel, ok := below(s.part, t.part)
			if !ok && s.part != t.part || t.device != s.device || t.how != overlaid || t.twin != "" || s.path == "." ||
				t.attr&^s.attr&^unix.MOUNT_ATTR__ATIME != 0 { // what t may not do, a bind of it may not either
				continue
			}
			twin := path.Join(t.path, rel)
			if l.siteOf(twin) == t { // else another mount hides it
				s.twin, s.twinIn = twin, t.path
				break
			}
		}
	}
}

// siteOf returns the site that an entry path lies on.
func (l *layouter) siteOf(path string) *site {
	var best *site
	for i := range l.sites {
		if s := &l.sites[i]; plist.Within(path, s.path) && (best == nil || len(s.path) >= len(best.path) || best.path == ".") {
			best = s
		}
	}
	return best
}

// setFile completes the site of a mount that holds files, or is one. It reports
// false for what is not shown inside at all.
func (p *site) setFile(m mount) bool {
	switch m.mode {
	case unix.S_IFDIR:
		// A file system that is read-only itself needs no upper. One that is only
		// mounted so might be remounted by the installer, which must not write.
		if hasOption(m.super, "ro") {
			p.attr = unix.MOUNT_ATTR_RDONLY
		} else {
			p.how, p.attr, p.device, p.part = overlaid, attrOf(m.options), m.device, m.root
		}
	case unix.S_IFREG:
		p.how, p.attr, p.device, p.part = copied, attrOf(m.options), m.device, m.root
	case unix.S_IFBLK:
		p.attr = unix.MOUNT_ATTR_NODEV
	case unix.S_IFCHR:
	default: // a socket or fifo leads to a process outside
		return false
	}
	return true
}

// siteInRun finds the site of a mount below /run. A private one has only the
// disks that are mounted there; a shared one is as it is, but for them.
func (l *layouter) siteInRun(p site, m mount) {
	disk := m.err == nil && m.mode == unix.S_IFDIR && (!m.virtual || remote[m.fstype])
	switch {
	case disk && !slices.Contains(l.runs, p.path) && p.setFile(m):
		l.add(p)
	case l.opt.shareRun && m.err == nil:
		l.add(p)
	}
}

// addKernel adds what the kernel shows of itself. For a root other than the
// host's, that is the host's devices too.
func (l *layouter) addKernel() {
	l.add(site{path: "proc", how: fresh, fstype: "proc"})
	for _, name := range protectedProc {
		l.add(site{path: "proc/" + name, how: readOnly, fstype: "proc"})
	}
	l.add(site{path: "sys", how: boundTree, from: "/sys", fstype: "sysfs", attr: unix.MOUNT_ATTR_RDONLY})
	if l.root == "/" {
		return
	}
	l.sites = slices.DeleteFunc(l.sites, func(p site) bool { return plist.Within(p.path, "dev") })
	if !slices.ContainsFunc(l.mounts, func(m mount) bool { return m.point == "/dev" }) {
		device, part := l.partOf("/dev")
		l.add(site{path: "dev", how: overlaid, from: "/dev", fstype: l.fstypeOf("/dev"), attr: l.attrOf("/dev"), device: device, part: part})
	}
	for _, m := range l.mounts {
		if plist.Within(m.point, "/dev") {
			l.site(m.point[1:], m)
		}
	}
}

// addRun adds /run itself, which may be a plain directory of the root.
func (l *layouter) addRun() {
	for _, run := range l.runs {
		from := path.Join(l.root, run)
		if !l.opt.shareRun {
			l.add(site{path: run, how: skeleton, from: from, fstype: "tmpfs", attr: l.attrOf(from)})
			continue
		}
		l.notes = append(l.notes, plist.Note{
			Kind: plist.NoteShared,
			Text: "/" + run + " is the host's: daemons could be reached, and what was written there is not in the list",
		})
		if !slices.ContainsFunc(l.sites, func(p site) bool { return p.path == run }) {
			l.add(site{path: run, how: bound, from: from, fstype: l.fstypeOf(from)})
		}
	}
}

// within reports whether path is one of dirs or lies below it.
func within(path string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return plist.Within(path, dir) })
}

// holder returns the mount that a host path lies on.
func (s *survey) holder(name string) *mount {
	var best *mount
	for i := range s.mounts {
		m := &s.mounts[i]
		if _, ok := below(name, m.point); (ok || name == m.point) && (best == nil || len(m.point) > len(best.point)) {
			best = m
		}
	}
	return best
}

// partOf says which file system a host path lies on, and where in it.
func (s *survey) partOf(name string) (device, part string) {
	m := s.holder(name)
	rel, _ := below(name, m.point)
	return m.device, path.Join(m.root, rel)
}

func (s *survey) fstypeOf(name string) string { return s.holder(name).fstype }

func (s *survey) attrOf(name string) uint64 { return attrOf(s.holder(name).options) }

// attrOf translates the per-mount options of mountinfo. Without a word on access
// times they are strict.
func attrOf(options string) uint64 {
	attr := uint64(unix.MOUNT_ATTR_STRICTATIME)
	for word := range strings.SplitSeq(options, ",") {
		switch word {
		case "relatime":
			attr &^= unix.MOUNT_ATTR__ATIME // MOUNT_ATTR_RELATIME is 0
		case "noatime":
			attr = attr&^unix.MOUNT_ATTR__ATIME | unix.MOUNT_ATTR_NOATIME
		default:
			attr |= mountAttrs[word]
		}
	}
	return attr
}

var mountAttrs = map[string]uint64{
	"ro":          unix.MOUNT_ATTR_RDONLY,
	"nosuid":      unix.MOUNT_ATTR_NOSUID,
	"nodev":       unix.MOUNT_ATTR_NODEV,
	"noexec":      unix.MOUNT_ATTR_NOEXEC,
	"nodiratime":  unix.MOUNT_ATTR_NODIRATIME,
	"nosymfollow": unix.MOUNT_ATTR_NOSYMFOLLOW,
}
