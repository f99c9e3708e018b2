package rebase

import (
	"fmt"
	"path"
	"strconv"
	"strings"
)

// A Policy is what a plan has to respect.
type Policy struct {
	Database *Database   // to plan against and to record in
	Respect  []*Database // of other layers: what they hold is taken
	Target   Target

	Room    map[Machine]Range // instead of the target's, where images are placed and may stay
	KeepOut []Range           // beside the target's
	Pins    []Pin

	// Stay records images where they are, and moves none. Then Force records
	// even what collides.
	Stay, Force bool
	// Compact places all images anew, as if none were recorded.
	Compact bool
	// DropSignature lets signed images be moved, without their signature.
	DropSignature bool
	// ClearDynamic takes the flags from the images that ask the loader for
	// another base at random (DYNAMICBASE, HIGH_ENTROPY_VA), moved or not.
	ClearDynamic bool

	// Mounts are those of the root a packing list is for, see Root.
	Mounts []Mount

	// Progress, if not nil, is called with the number of images that Apply has
	// read, moved and verified so far; by one goroutine at a time.
	Progress func(done int)
}

// A Pin keeps the images whose name matches where they are or, if Base is not
// zero, puts them there.
type Pin struct {
	Pattern string // of path.Match; without a slash it is held against the last element
	Base    uint64
}

// ParsePin reads PATTERN or PATTERN=BASE.
func ParsePin(s string) (Pin, error) {
	pattern, base, ok := strings.Cut(s, "=")
	pin := Pin{Pattern: pattern}
	if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
		return Pin{}, fmt.Errorf("pin %q: malformed pattern", s)
	}
	if !ok {
		return pin, nil
	}
	var err error
	if pin.Base, err = strconv.ParseUint(base, 0, 48); err != nil || pin.Base == 0 || pin.Base%Granularity != 0 {
		return Pin{}, fmt.Errorf("pin %q: the base is no multiple of 64 KiB", s)
	}
	return pin, nil
}

// pin returns the first pin for a name, or nil.
func (p *Policy) pin(name string) *Pin {
	for i := range p.Pins {
		subject := name
		if !strings.Contains(p.Pins[i].Pattern, "/") {
			subject = path.Base(name)
		}
		if ok, err := path.Match(p.Pins[i].Pattern, subject); ok && err == nil {
			return &p.Pins[i]
		}
	}
	return nil
}

// place returns where images of a machine may lie, in whole slots.
func (p *Policy) place(m Machine) Place {
	place := p.Target.Place(m)
	if r, ok := p.Room[m]; ok {
		place.Room = Range{roundUp(r.Low, Granularity), r.High &^ (Granularity - 1)}
		place.Stay = place.Room
	}
	keepOut := append(place.KeepOut, p.KeepOut...)
	place.KeepOut = nil
	for _, r := range keepOut {
		place.KeepOut = append(place.KeepOut, Range{r.Low &^ (Granularity - 1), roundUp(min(r.High, 1<<48), Granularity)}) // no process has more
	}
	return place
}

// fixed returns why an image must stay, by its own rules and by the policy's.
func (p *Policy) fixed(s *subject) *Fixed {
	pin := p.pin(s.Name)
	switch {
	case s.fixed != nil:
		return s.fixed
	case isRuntime(s.Name):
		return &Fixed{RuleRuntime, "the C library chooses its own place"}
	case pin != nil && pin.Base == 0:
		return &Fixed{RulePinned, "pinned"}
	case s.image.Signed() && !p.DropSignature:
		return errSigned
	case s.image.Signed():
		return s.image.checkSignature()
	}
	return nil
}
