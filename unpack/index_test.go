package unpack

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// TestIndex compares an index, as packages come and go at random, with a map.
func TestIndex(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var all []ownership
	model := make(map[string]map[string]owner) // path -> package -> how it has it
	for transaction := 1; transaction < 200; transaction++ {
		name := fmt.Sprintf("p %d\n", rnd.IntN(6))
		l := &plist.List{}
		for _, owners := range model {
			delete(owners, name)
		}
		for range rnd.IntN(60) {
			path := fmt.Sprintf("d%d/%x/\xff%d", rnd.IntN(3), rnd.IntN(4), rnd.IntN(8))
			if l.Find(path) != nil {
				continue
			}
			e := plist.Entry{Op: plist.OpAdd, Path: path, ModTime: time.Unix(1, 0), Mode: fs.FileMode(0o644)}
			switch rnd.IntN(8) {
			case 1:
				e.Mode |= fs.ModeDir
			case 0:
				e = plist.Entry{Op: plist.OpDelete, Path: path}
			}
			if model[path] == nil {
				model[path] = make(map[string]owner)
			}
			model[path][name] = owner{name, transaction, claimOf(&e)}
			l.Entries = append(l.Entries, e)
			l.Sort()
		}
		all = changeOwner(all, name, transaction, l)
		data, err := encodeIndex(transaction, all)
		check(t, err)
		x, err := decodeIndex(data)
		check(t, err)
		check(t, x.verify())
		for path, want := range model {
			owners, err := x.find(path)
			check(t, err)
			got := make(map[string]owner)
			for _, o := range owners {
				got[o.name] = o
			}
			if !maps.Equal(got, want) || !slices.IsSortedFunc(owners, owner.compare) {
				t.Fatalf("transaction %d, %q: %v, want %v", transaction, path, owners, want)
			}
			if none, err := x.find(path + "x"); err != nil || none != nil {
				t.Fatalf("%q: %v, %v", path+"x", none, err)
			}
		}
		n := 0
		check(t, x.all(func(o ownership) {
			if fmt.Sprint(o) != fmt.Sprint(all[n]) {
				t.Fatalf("%v, want %v", o, all[n])
			}
			n++
		}))
		if n != len(all) {
			t.Fatalf("%d paths, want %d", n, len(all))
		}
	}
}

// FuzzIndex: whatever stands in an index, looking into it ends well.
func FuzzIndex(f *testing.F) {
	good, err := encodeIndex(7, []ownership{{"a", []owner{{"p", 1, aDir}}}, {"a/b", []owner{{"p", 1, aFile}, {"q", 2, aDeletion}}}})
	check(f, err)
	f.Add(good, "a/b")
	f.Add(good[:len(good)-3], "a")
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		x, err := decodeIndex(data)
		if err != nil {
			return
		}
		_, _ = x.find(path)
		if x.paths < 1<<16 {
			_ = x.all(func(ownership) {})
		}
	})
}

// million is as many paths as a large system has, of lengths as in /usr.
func million() []ownership {
	var all []ownership
	for p := range 1000 {
		owners := []owner{{name: fmt.Sprintf("package-%d", p), transaction: p + 1, what: aFile}}
		for d := range 10 {
			for n := range 100 {
				all = append(all, ownership{fmt.Sprintf("usr/share/package-%d/locale-%d/LC_MESSAGES/%x-file.mo", p, d, uint32(n*2654435761)), owners})
			}
		}
	}
	slices.SortFunc(all, func(a, b ownership) int { return plist.ComparePaths(a.path, b.path) })
	return all
}

func BenchmarkIndex(b *testing.B) {
	all := million()
	data, err := encodeIndex(1, all)
	check(b, err)
	x, err := decodeIndex(data)
	check(b, err)
	b.Run("find", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if owners, err := x.find(all[i*7919%len(all)].path); err != nil || len(owners) != 1 {
				b.Fatal(owners, err)
			}
		}
		b.ReportMetric(float64(len(data))/(1<<20), "MiB")
	})
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := encodeIndex(1, all); err != nil {
				b.Fatal(err)
			}
		}
	})
}
