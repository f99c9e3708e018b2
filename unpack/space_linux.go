package unpack

import (
	"path"

	"golang.org/x/sys/unix"
)

// checkSpace refuses what will not fit. It counts whole blocks, and one more for
// each name; what a file system needs besides shows while staging, when nothing
// is lost yet.
func (p *planner) checkSpace(t *Transaction) error {
	type need struct{ blocks, files uint64 }
	needs := make(map[unix.Fsid]need)
	stats := make(map[unix.Fsid]unix.Statfs_t)
	for _, s := range steps(t.Before, t.After) {
		if !s.swaps() || s.after == nil {
			continue
		}
		st, err := p.statfs(path.Dir(s.path))
		if err != nil {
			return err
		}
		n := needs[st.Fsid]
		for _, e := range below(t.After, s.path) {
			n.files++
			n.blocks++
			if e.HasContent() {
				n.blocks += (uint64(e.Size) + uint64(st.Frsize) - 1) / uint64(max(st.Frsize, 1))
			}
		}
		needs[st.Fsid], stats[st.Fsid] = n, st
	}
	for id, n := range needs {
		st := stats[id]
		if n.blocks > st.Bavail {
			p.refuse("", "", "needs %d MiB of disk, %d MiB are free", n.blocks*uint64(st.Frsize)>>20, st.Bavail*uint64(st.Frsize)>>20)
		}
		if st.Files > 0 && n.files > st.Ffree {
			p.refuse("", "", "needs %d inodes, %d are free", n.files, st.Ffree)
		}
	}
	return nil
}

func (p *planner) statfs(dir string) (st unix.Statfs_t, err error) {
	fd, err := p.sys.open(dir, readDir)
	if err != nil {
		return st, callError("open", dir, err)
	}
	return st, callError("statfs", dir, closing(fd, unix.Fstatfs(fd, &st)))
}
