package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A registry knows which packages of a root have a path: by the index, and by the
// records of the packages that were changed since it was written.
type registry struct {
	root    *Root
	x       *index             // nil if there is none that can be used
	release func() error       // gives the memory of x back; nil if there is none
	fresh   map[string]*Record // packages that x tells nothing of; nil if they are gone
	read    map[string]*Record // of other packages, as far as they were asked for
}

// openRegistry reads what look-ups need. Close it.
func (r *Root) openRegistry() (*registry, error) {
	g := &registry{root: r, fresh: make(map[string]*Record), read: make(map[string]*Record)}
	if err := g.mapIndex(); err != nil {
		return nil, err
	}
	names, err := g.changedSince()
	if err == nil {
		for _, name := range names {
			if g.fresh[name], err = r.readRecord(r.at(packagesName, name)); err != nil {
				break
			}
		}
	}
	if err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

func (g *registry) close() error {
	if g.release == nil {
		return nil
	}
	return g.release()
}

// mapIndex maps the index into memory, if it is there and whole.
func (g *registry) mapIndex() error {
	f, err := g.root.sys.openFile(g.root.at(indexName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	data, release, err := whole(f)
	if err != nil {
		return err
	}
	g.release = release
	if x, err := decodeIndex(data); err == nil && x.verify() == nil {
		g.x = x
	}
	return nil
}

// changedSince returns the names of the packages that the index does not know as they
// are: all, if there is none.
func (g *registry) changedSince() ([]string, error) {
	numbers, err := g.root.historyNumbers()
	if err != nil {
		return nil, err
	}
	if g.x != nil && (len(numbers) == 0 || g.x.transaction > numbers[len(numbers)-1]) {
		g.x = nil // of another history
	}
	if g.x == nil {
		return g.root.names(packagesName)
	}
	var names []string
	for _, n := range numbers {
		if n <= g.x.transaction {
			continue
		}
		t, err := g.root.readAbout(g.root.at(historyName, strconv.Itoa(n)))
		if err != nil {
			return nil, err
		}
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	return names, nil
}

// find returns the owners of a path, in the order of their transactions.
func (g *registry) find(real string) []owner {
	return slices.DeleteFunc(g.claimants(real), func(o owner) bool { return o.what == aDeletion })
}

// claimants returns the owners of a path and those who deleted it, in the order of their
// transactions.
func (g *registry) claimants(real string) []owner {
	var owners []owner
	if g.x != nil {
		known, err := g.x.find(real)
		if err != nil {
			panic(fmt.Sprintf("unpack: an index with the right digest: %v", err))
		}
		for _, o := range known {
			if _, ok := g.fresh[o.name]; !ok {
				owners = append(owners, o)
			}
		}
	}
	for name, rec := range g.fresh {
		if rec == nil {
			continue
		}
		if e := rec.Installed.Find(real); e != nil {
			owners = append(owners, owner{name, rec.Transaction, claimOf(e)})
		}
	}
	slices.SortFunc(owners, owner.compare)
	return owners
}

// record returns the record of a package; nil if it is not installed.
func (g *registry) record(name string) (*Record, error) {
	if rec, ok := g.fresh[name]; ok {
		return rec, nil
	}
	rec, ok := g.read[name]
	if !ok {
		var err error
		if rec, err = g.root.readRecord(g.root.at(packagesName, name)); err != nil {
			return nil, err
		}
		g.read[name] = rec
	}
	return rec, nil
}

// The index in the state directory, and one being written.
const (
	indexName    = "index"
	newIndexName = "index.new"
)

// updateIndex writes the index again when it is too far behind.
//
// Preconditions: the root is locked, and nothing is pending.
func (r *Root) updateIndex() (err error) {
	g, err := r.openRegistry()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	if len(g.fresh) <= r.indexAfter {
		return nil
	}
	var all []ownership
	if g.x != nil {
		if err := g.x.all(func(o ownership) { all = append(all, o) }); err != nil {
			return err
		}
	}
	for name, rec := range g.fresh {
		if rec == nil {
			all = changeOwner(all, name, 0, &plist.List{})
		} else {
			all = changeOwner(all, name, rec.Transaction, rec.Installed)
		}
	}
	last, err := r.nextNumber()
	if err != nil {
		return err
	}
	data, err := encodeIndex(last-1, all)
	if err != nil {
		return err
	}
	if err := r.sys.removeAll(r.at(newIndexName)); err != nil {
		return err
	}
	if err := r.writeFile(r.at(newIndexName), writeBytes(data)); err != nil {
		return err
	}
	if err := r.sys.rename(r.at(newIndexName), r.at(indexName), replace); err != nil {
		return err
	}
	return r.sys.fsync(r.state)
}

// A layer is a registry of the root, or of a base below it.
type layer struct {
	*registry
	base string // the directory of the base; "" for the root's own
}

// openLayers opens the bases, and last the root's own registry.
func (r *Root) openLayers() (layers []layer, err error) {
	for _, b := range r.bases {
		g, err := b.openRegistry()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("base %s: %w", b.dir, err), closeLayers(layers))
		}
		layers = append(layers, layer{g, b.dir})
	}
	g, err := r.openRegistry()
	if err != nil {
		return nil, errors.Join(err, closeLayers(layers))
	}
	return append(layers, layer{registry: g}), nil
}

func closeLayers(layers []layer) (err error) {
	for _, l := range layers {
		err = errors.Join(err, l.close())
	}
	return err
}

// openBases opens state directories of layers below, which are only read.
func (r *Root) openBases(dirs []string) error {
	for _, dir := range dirs {
		b, err := Open(dir, Options{State: "."})
		if err != nil {
			return fmt.Errorf("base: %w", err)
		}
		r.bases = append(r.bases, b)
		if there, err := b.sys.exists(path.Join(".", packagesName)); err != nil || !there {
			return errors.Join(fmt.Errorf("base %s: is no state directory", dir), err)
		}
	}
	return nil
}
