package unpack

import (
	"path"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// checkSpace refuses what will not fit. It counts whole blocks, and one more for
// each name; what a file system needs besides shows while staging, when nothing
// is lost yet.
func (p *planner) checkSpace(t *Transaction) error {
	type need struct{ blocks, files uint64 }
	needs := make(map[uint64]need)
	spaces := make(map[uint64]space)
	all := steps(t.Before, t.After)
	names := p.displacedNames(t, all)
	for _, s := range all {
		if !s.swaps() {
			continue
		}
		sp, err := p.sys.space(path.Dir(s.path))
		if err != nil {
			return err
		}
		n, ok := needs[sp.volume]
		if !ok && !sp.trades && s.after != nil {
			p.note(path.Dir(s.path), "two names may not be exchangeable at once there: what becomes a directory or was one is missing for a moment, and what others make at a new path in that moment is lost")
		}
		add := func(e *plist.Entry) {
			n.files++
			n.blocks++
			if e.HasContent() {
				n.blocks = min(n.blocks+(uint64(e.Size)+sp.block-1)/sp.block, enormous)
			}
		}
		if s.after != nil {
			for _, e := range below(t.After, s.path) {
				add(&e)
			}
		}
		if s.displaces() {
			for _, e := range below(t.Before, s.path) {
				if inode := p.inodes[e.Path]; linkable(&e) && inode.Nlink > names[inode] {
					e.Link = ""
					add(&e) // see work.separate
				}
			}
		}
		needs[sp.volume], spaces[sp.volume] = n, sp
	}
	for id, n := range needs {
		sp := spaces[id]
		if n.blocks > sp.blocks {
			p.refuse("", "", "needs %d MiB of disk, %d MiB are free", mebibytes(n.blocks, sp.block), mebibytes(sp.blocks, sp.block))
		}
		if sp.files > 0 && n.files > sp.freeFiles {
			p.refuse("", "", "needs %d inodes, %d are free", n.files, sp.freeFiles)
		}
	}
	return nil
}

// displacedNames counts the names of files that steps displace.
func (p *planner) displacedNames(t *Transaction, all []step) map[capture.Inode]uint32 {
	names := make(map[capture.Inode]uint32)
	for _, s := range all {
		if s.displaces() {
			for _, b := range below(t.Before, s.path) {
				names[p.inodes[b.Path]]++
			}
		}
	}
	return names
}

// enormous is more blocks than any disk has, and so few that a sum does not overflow.
const enormous = 1 << 62

func mebibytes(blocks, size uint64) uint64 {
	return uint64(float64(blocks) * float64(size) / (1 << 20))
}
