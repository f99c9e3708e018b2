package capture

// Inode is what tells a file from all others, and how many names it has. Two
// names of one Inode are hard links of each other.
type Inode struct {
	Dev, Ino uint64
	Nlink    uint32
}

// SameFile reports whether i and o are one file.
func (i Inode) SameFile(o Inode) bool { return i.Dev == o.Dev && i.Ino == o.Ino }
