package rebase

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// A history is a system whose images are updated over years. Nothing is on disk:
// only where the images are placed matters.
type history struct {
	*rand.Rand
	db    *Database
	slots []int // each image needs
}

func newHistory(images int) *history {
	h := &history{rand.New(rand.NewPCG(7, 7)), NewDatabase(""), make([]int, images)}
	for i := range h.slots {
		// like 1,272 real images: median 3 slots, mean 12.8, the largest about 400
		h.slots[i] = min(max(1, int(3*math.Exp(1.7*h.NormFloat64()))), 400)
	}
	return h
}

// install plans for some images as they come from a linker, records the result
// and returns how many of them have another address than before.
func (h *history) install(t *testing.T, which []int) int {
	t.Helper()
	l := newLayout(AMD64, &Policy{Database: h.db, Target: TargetCygwin}, nil)
	var subjects []*subject
	for _, i := range which {
		name := fmt.Sprintf("/usr/bin/lib%04d.dll", i)
		header := Header{Machine: AMD64, DLL: true, wide: true, Base: 0x180000000, Size: uint32(h.slots[i]) * Granularity}
		subjects = append(subjects, &subject{File: File{name, name[1:]}, image: &Image{Header: header}, record: h.db.Find(name)})
	}
	l.add(subjects)
	l.arrange()
	moved := 0
	for _, it := range l.items {
		if it.subject == nil {
			continue
		}
		if !it.placed {
			t.Fatalf("%s: %s", it.name, it.failure)
		}
		if old := it.subject.record; old != nil && old.Base != it.base {
			moved++
		}
		h.db.Put(Record{Name: it.name, Machine: AMD64, Base: it.base, Size: it.subject.image.Size, Reserved: it.reserved.High - it.reserved.Low})
	}
	if f := Collisions(h.db, nil); len(f) > 0 {
		t.Fatalf("%s %v", f[0].Name, f[0].With)
	}
	return moved
}

// TestUpdates lives through 60 rounds in each of which a twentieth of 1,272
// images is updated. A fifth of the updates grows, some shrink.
func TestUpdates(t *testing.T) {
	const images, rounds = 1272, 60
	h := newHistory(images)
	h.install(t, h.Perm(images))
	updates, moved := 0, 0
	for range rounds {
		which := h.Perm(images)[:images/20]
		for _, i := range which {
			switch x := h.Float64(); {
			case x < 0.20:
				h.slots[i] += 1 + h.slots[i]/20
			case x < 0.27 && h.slots[i] > 1:
				h.slots[i]--
			}
		}
		updates += len(which)
		moved += h.install(t, which)
	}
	percent := 100 * float64(moved) / float64(updates)
	t.Logf("%d updates, %d moved an image: %.1f %%", updates, moved, percent)
	if percent > 3.5 {
		t.Error("more than 3.5 % of the updates moved an image")
	}
}
