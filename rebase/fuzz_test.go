package rebase

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"testing"

	"github.com/sandbox-install/sandbox-install/rebase/rebasetest"
)

// addImages adds images of all kinds, with what may make a move difficult.
func addImages(add func(file []byte)) {
	for _, m := range Machines {
		add(rebasetest.Image(rebasetest.Options{Machine: uint16(m), Base: 0x10000000}))
	}
	for _, put := range []func(b []byte){
		func([]byte) {},
		putLoadConfig,
		func(b []byte) { putDelayImport(b, 1) },
		func(b []byte) { b[rebasetest.Data+page+10] = kindNothing },
		func(b []byte) { le.PutUint32(b[rebasetest.Optional+32:], 0x10000) },
	} {
		file := rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000, Pages: 2, DLLFlags: dllDynamicBase})
		put(file)
		add(file)
	}
	odd := rebasetest.Image(rebasetest.Options{Machine: rebasetest.I386, Base: 0x10000000, NoFixups: true})
	add(append(odd, "overlay"...))
	add(rebasetest.Image(rebasetest.Options{Machine: rebasetest.AMD64, Base: 0x340000000, Signature: []byte("8 bytes.")}))
}

// FuzzImage moves whatever can be read there and back. Its last argument chooses
// what else is changed.
func FuzzImage(f *testing.F) {
	addImages(func(file []byte) {
		f.Add(file, uint64(0x20000000), byte(0))
		f.Add(file, uint64(0x350000000), byte(3))
	})
	f.Fuzz(func(t *testing.T, file []byte, base uint64, also byte) {
		h, err := ReadHeader(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		before := bytes.Clone(file)
		change := change{base, also&1 != 0, also&2 != 0}
		moved, lost, err := change.move(file, h)
		if !bytes.Equal(before, file) {
			t.Fatal("the original was written to")
		}
		if moved == nil {
			return // refused
		}
		if err != nil {
			t.Fatal(err)
		}
		back, err := Restore(moved, lost)
		if err != nil || !bytes.Equal(back, file) {
			t.Fatalf("not restored: %v", err)
		}
	})
}

// FuzzRestore believes whatever a damaged database says was before.
func FuzzRestore(f *testing.F) {
	addImages(func(file []byte) { f.Add(file, uint64(0x20000000), uint16(dllDynamicBase), []byte("8 bytes.")) })
	f.Fuzz(func(_ *testing.T, file []byte, base uint64, cleared uint16, signature []byte) {
		Restore(file, Original{Base: base, Cleared: cleared, Signature: signature}) //nolint:errcheck // only a panic is wrong
	})
}

func FuzzText(f *testing.F) {
	f.Add(encodeText(testRecords()))
	f.Fuzz(func(t *testing.T, b []byte) {
		records, err := parseText(b)
		if err != nil {
			return
		}
		again, err := parseText(encodeText(records))
		if err != nil || !equalRecords(records, again) {
			t.Fatalf("not the same after writing: %v", err)
		}
	})
}

func FuzzRBII(f *testing.F) {
	b, err := rbiiHeader{AMD64, 0x400000000, 0, 1}.encode([]Record{
		{Name: "/usr/bin/a.dll", Machine: AMD64, Base: 0x3ffff0000, Reserved: 0x10000},
		{Name: "/usr/bin/b.dll", Machine: AMD64, Base: 0x3fffc0000, Size: 0x19000, Reserved: 0x30000},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		h, records, err := parseRBII(b)
		if err != nil {
			return
		}
		written, err := h.encode(records)
		if err != nil || len(written) != len(b) {
			t.Fatalf("%d bytes became %d: %v", len(b), len(written), err)
		}
		if h2, again, err := parseRBII(written); err != nil || h2 != h || !equalRecords(records, again) {
			t.Fatalf("not the same after writing: %v", err)
		}
	})
}

// FuzzDiscover reads what packages and users advertise. What is found is always a
// file of the root, and each once.
func FuzzDiscover(f *testing.F) {
	f.Add([]byte("/usr/lib\r\n\n/nowhere\n"), []byte("/plugin\n"), []byte("usr/\nusr/bin/a.dll\n"), true)
	f.Add([]byte("/../etc"), []byte("relative\n"), []byte{0}, false)
	f.Fuzz(func(t *testing.T, paths, files, list []byte, compress bool) {
		b := newBed(t)
		b.root.Mounts = CygwinMounts
		for _, name := range []string{"/plugin", "/bin/a.dll", "/lib/x.so"} {
			b.writeFile(name, nil)
		}
		if compress {
			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			w.Write(list) //nolint:errcheck // to memory
			w.Close()     //nolint:errcheck // to memory
			list = z.Bytes()
		}
		b.writeFile("/var/lib/rebase/localpath.d/mine", paths)
		b.writeFile("/var/lib/localfile.d/mine", files)
		b.writeFile("/etc/setup/a.lst.gz", list)
		d, err := Discover(b.root, Search{Advertised: true})
		if err != nil {
			return
		}
		found := d.Files
		for i, file := range found {
			if info, err := b.root.Lstat(file.Path); err != nil || !info.Mode().IsRegular() {
				t.Errorf("%+v: %v", file, err)
			}
			if i > 0 && found[i-1].Name == file.Name {
				t.Errorf("%s twice", file.Name)
			}
		}
	})
}

// FuzzPlan places images of all kinds. Five bytes make one: its kind, base and
// size, in slots, and how far its record is from it.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 0, 1, 0, 2, 0, 1, 1, 0, 9, 0, 2, 1, 0, 3, 0, 4, 1, 0, 3, 0, 4, 1, 0, 3, 2, 8, 200, 1, 3, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		policy := &Policy{Database: NewDatabase(""), Respect: []*Database{NewDatabase("other")}, Target: TargetCygwin}
		var subjects []*subject
		for i := 0; len(b) >= 5 && i < 50; i, b = i+1, b[5:] {
			name := fmt.Sprintf("/%02d.dll", i)
			base := 0x1f0000000 + uint64(le.Uint16(b[1:]))*Granularity
			header := Header{Machine: AMD64, DLL: true, wide: true, Base: base, Size: (1 + uint32(b[3])) * Granularity}
			record := header.Record(name)
			switch b[0] % 5 {
			case 0:
				policy.Respect[0].Put(record)
				continue
			case 1:
				policy.Database.Put(record) // but it is not in the plan
				continue
			case 2:
				record.Base += uint64(b[4]) * Granularity
				policy.Database.Put(record)
			}
			s := &subject{File: File{name, name[1:]}, image: &Image{Header: header}, record: policy.Database.Find(name)}
			if b[0]%5 == 3 {
				s.fixed = &Fixed{RuleStripped, "stripped"}
			}
			subjects = append(subjects, s)
		}
		checkPlan(t, newPlan(slices.Clone(subjects), policy, nil))
		plan := newPlan(slices.Clone(subjects), policy, nil)
		slices.Reverse(subjects)
		if again := newPlan(subjects, policy, nil); told(plan) != told(again) {
			t.Errorf("in another order:\n%s\n%s", told(plan), told(again))
		}
		if plan.carryOut(); newPlan(subjects, policy, nil).Moves() != 0 {
			t.Errorf("a second run moves again, after\n%s", told(plan))
		}
	})
}

// carryOut does what Apply does, but on no files.
func (p *Plan) carryOut() {
	for i := range p.Placements {
		pl := &p.Placements[i]
		if pl.Reserved == 0 || pl.Action == Fail {
			continue
		}
		s := pl.subject
		s.image.Base = pl.To
		record := s.image.Record(pl.Name)
		record.Reserved = pl.Reserved
		p.policy.Database.Put(record)
		s.record = &record
	}
}

// checkPlan makes sure that what was given a place has it for itself.
func checkPlan(t *testing.T, plan *Plan) {
	t.Helper()
	l := plan.layouts[slices.Index(Machines[:], AMD64)]
	for i, a := range l.items {
		if a.subject == nil {
			continue
		}
		moved := a.placed && a.base != a.subject.image.Base
		if moved && !a.exact.within(l.place.Room) {
			t.Errorf("%s was moved to %v, outside %v", a.name, a.exact, l.place.Room)
		}
		if (a.failure == "") != a.placed {
			t.Errorf("%s: placed is %v, %s", a.name, a.placed, a.failure)
		}
		for _, b := range l.items[i+1:] {
			if a.placed && b.placed && a.exact.overlaps(b.exact) {
				t.Errorf("%s at %v and %s at %v", a.name, a.exact, b.name, b.exact)
			}
			if moved && b.placed && a.exact.overlaps(b.reserved) {
				t.Errorf("%s was moved into %v, reserved for %s", a.name, b.reserved, b.name)
			}
		}
	}
}
