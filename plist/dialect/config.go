package dialect

import (
	"path"
	"slices"
	"strings"
)

// config lists a configuration file as a sample, which is copied to its place
// when there is none: a package must not own what people edit.
func (p *porter) config(pl *place, it Item) bool {
	name, ok := strings.CutPrefix(pl.path, "etc/")
	if !ok || !pl.Mode.IsRegular() {
		return false
	}
	sample := it.ordinary()
	sample.Path = pl.path + ".sample"
	if p.samples {
		sample.Path = path.Join("share/examples", p.list.Name, strings.TrimPrefix(name, p.list.Name+"/"))
	}
	copied := it
	copied.Kind, copied.Path, copied.Text = KindSample, Var(p.confdir)+"/"+name, sample.Path
	p.remark(pl.path, "is to be installed as "+sample.Path)
	below := &place{Entry: pl.Entry}
	switch p.tree {
	case "pkgsrc":
		p.makefile(makefileLines(p.tree, &copied)...)
		p.add(below, sample)
		return true
	case "freebsd":
		copied.Path = pl.path // beside its sample
	case "openbsd":
		p.exampleDirs(below, sample.Path)
	}
	p.add(below, sample)
	p.add(below, copied)
	return true
}

// exampleDirs lists the directories that a sample lies in, each once.
func (p *porter) exampleDirs(pl *place, sample string) {
	var dirs []string
	for dir := path.Dir(sample); strings.HasPrefix(dir, "share/examples/"); dir = path.Dir(dir) {
		dirs = append(dirs, dir)
	}
	for _, dir := range slices.Backward(dirs) {
		if !p.once[dir] {
			p.once[dir] = true
			p.in.add(pl, Item{Kind: KindDir, Path: dir}, p.walk)
		}
	}
}

// configDir makes a directory for the copies of samples, or one that the package owns:
// what is empty, or not everybody's to look into.
func (p *porter) configDir(pl *place, it Item) {
	name, ok := strings.CutPrefix(pl.path, "etc/")
	if !ok {
		return
	}
	here := &place{Entry: pl.Entry, path: pl.path, full: pl.full} // with the samples, whatever the captured sysconfdir
	own := it.special() || !pl.full
	if p.tree == "freebsd" {
		if own {
			p.add(here, it)
		}
		return
	}
	it.Kind, it.Path = KindSample, Var(p.confdir)+"/"+name
	switch {
	case p.tree == "openbsd":
		p.add(here, it)
	case it.special():
		p.makefile("OWN_DIRS_PERMS+= " + permissions(&it))
	case own:
		p.makefile("OWN_DIRS+= " + it.Path)
	default:
		p.makefile("MAKE_DIRS+= " + it.Path)
	}
}
