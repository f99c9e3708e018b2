package rebase

import (
	"cmp"
	"os"
	"slices"
)

// An item is one image in an address space: a subject of the plan, or only the
// record of an image that the plan leaves alone.
type item struct {
	name    string
	layer   int // 0 for the database that is written, 1 and up for those respected
	subject *subject
	fixed   *Fixed

	placed   bool
	base     uint64
	exact    Range  // what the image itself takes at base
	reserved Range  // what is kept for it: exact and slack
	failure  string // why it has no place
	with     []string
}

// A layout gives the images of one machine their places. The order of its
// phases is the rule of who moves: what other layers hold and what is installed
// never yields to what is new, what can not move is asked before what can, and of
// two in the same position the smaller moves.
type layout struct {
	machine Machine
	policy  *Policy
	root    *os.Root
	place   Place
	items   []*item // subjects, large ones first, then what is recorded besides
	taken   space
	before  []mark // the map as the files and databases have it
}

func newLayout(m Machine, p *Policy, root *os.Root) *layout {
	return &layout{machine: m, policy: p, root: root, place: p.place(m)}
}

// add adds the subjects, and the records of all others.
func (l *layout) add(subjects []*subject) {
	planned := make(map[string]bool)
	for _, s := range subjects {
		l.items = append(l.items, &item{name: s.Name, subject: s, fixed: l.policy.fixed(s), base: s.image.Base, exact: s.image.span()})
		planned[s.Name] = true
		for _, link := range s.links {
			planned[link.Name] = true
		}
	}
	slices.SortFunc(l.items, func(a, b *item) int {
		return cmp.Or(cmp.Compare(b.subject.image.Size, a.subject.image.Size), cmp.Compare(a.name, b.name))
	})
	for layer, db := range append([]*Database{l.policy.Database}, l.policy.Respect...) {
		for i := range db.records {
			if r := &db.records[i]; r.Machine == l.machine && (layer > 0 || !planned[r.Name]) {
				l.items = append(l.items, &item{name: r.Name, layer: layer, base: r.Base, exact: r.exact(), reserved: r.Span()})
			}
		}
	}
}

// arrange runs the phases. Each claims its ranges as narrow as the images are,
// and only then is slack added where it is in nobody's way.
func (l *layout) arrange() {
	l.before = l.marks()
	var installed, fresh []*item
	for _, r := range l.place.KeepOut {
		l.taken.claim(r)
	}
	for _, it := range l.items {
		switch {
		case it.subject == nil:
			l.put(it, it.base)
		case it.staysPut(l.policy):
		case it.subject.record != nil && !l.policy.Compact:
			installed = append(installed, it)
		default:
			fresh = append(fresh, it)
		}
	}
	l.each((*layout).claimOwn, func(it *item) bool { return it.staysPut(l.policy) && it.subject.record != nil })
	for _, it := range installed {
		l.tryPlace(it, it.subject.record.Base)
	}
	l.each((*layout).claimOwn, func(it *item) bool { return it.staysPut(l.policy) && it.subject.record == nil })
	l.reserve()
	for _, it := range l.pinnedFirst(fresh) {
		l.tryPlace(it, it.base)
	}
	l.reserve()
	for _, it := range append(installed, fresh...) {
		l.placeAnew(it)
	}
}

// pinnedFirst returns the images that may keep the base they come with, those
// pinned to one before the others; when compacting, only those.
func (l *layout) pinnedFirst(fresh []*item) []*item {
	var pinned, others []*item
	for _, it := range fresh {
		if l.policy.pin(it.name) != nil {
			pinned = append(pinned, it)
		} else if !l.policy.Compact {
			others = append(others, it)
		}
	}
	return append(pinned, others...)
}

func (l *layout) each(do func(*layout, *item), which func(*item) bool) {
	for _, it := range l.items {
		if it.subject != nil && which(it) {
			do(l, it)
		}
	}
}

// staysPut reports whether the image is to be recorded where it is.
func (it *item) staysPut(p *Policy) bool {
	return it.subject != nil && (it.fixed != nil || p.Stay)
}

// put gives an item its place.
func (l *layout) put(it *item, base uint64) {
	it.placed, it.base = true, base
	if it.subject != nil {
		it.exact = spanAt(base, it.subject.image.Size)
	}
	l.taken.claim(it.exact)
}

// claimOwn places an image that stays where it is, if no other image is there.
// Slack and keep-out ranges do not matter to it.
func (l *layout) claimOwn(it *item) {
	it.with = l.holders(it.exact)
	if len(it.with) > 0 && !l.policy.Force {
		it.failure = "its addresses are taken"
		return
	}
	l.put(it, it.base)
}

// holders names the placed images in a range.
func (l *layout) holders(r Range) []string {
	var names []string
	for _, it := range l.items {
		if it.placed && it.exact.overlaps(r) {
			names = append(names, it.name)
		}
	}
	slices.Sort(names)
	return names
}

// tryPlace gives an image the base it has or had, or the one it is pinned to.
func (l *layout) tryPlace(it *item, base uint64) {
	pin := l.policy.pin(it.name)
	if pin != nil {
		base = pin.Base
	}
	changes := base != it.subject.image.Base || l.policy.ClearDynamic && it.subject.image.asks() != 0
	if changes && !l.readFixups(it) {
		return
	}
	r := spanAt(base, it.subject.image.Size)
	allowed := base%Granularity == 0 && r.within(it.subject.image.limits())
	switch {
	case allowed && l.taken.free(r) && (pin != nil || r.within(l.place.Stay)):
		l.put(it, base)
	case pin != nil:
		it.failure, it.with = "it can not lie where it is pinned to", l.holders(r)
	default:
		l.readFixups(it) // if it can not move it takes its place now, before others do
	}
}

// readFixups makes sure that an image the survey took from its record can be
// moved. If not, it has to stay.
func (l *layout) readFixups(it *item) bool {
	s := it.subject
	if s.brief {
		s.read(l.root, true)
	}
	if s.err != nil {
		it.failure = s.err.Error()
		return false
	}
	if it.fixed = l.policy.fixed(s); it.fixed != nil {
		l.claimOwn(it)
	}
	return it.fixed == nil
}

// reserve adds slack behind the images placed so far.
func (l *layout) reserve() {
	for _, it := range l.items {
		if !it.placed || it.reserved != (Range{}) && it.subject != nil {
			continue
		}
		want := it.wanted()
		behind := Range{it.exact.High, want.High}
		switch {
		case it.subject == nil || isRuntime(it.name):
			l.taken.claim(want)
		case behind.Low >= behind.High || l.taken.free(behind):
			l.taken.claim(behind)
		default:
			want = it.exact
		}
		it.reserved = want
	}
}

// wanted returns the range an item would like to be kept for it: what is
// recorded, or one slot and an eighth of its own. Of 100 updates that leaves 3
// without a new address, instead of 18 without slack: see TestUpdates.
func (it *item) wanted() Range {
	switch {
	case isRuntime(it.name):
		return zone(it.exact)
	case it.subject == nil:
		return it.reserved
	case it.fixed != nil:
		return it.exact
	}
	if r := it.subject.record; r != nil && r.Base == it.base && r.Span().High >= it.exact.High {
		return r.Span()
	}
	return Range{it.exact.Low, it.exact.High + slack(it.exact)}
}

func slack(r Range) uint64 {
	slots := (r.High - r.Low) / Granularity
	return (1 + slots/8) * Granularity
}

// placeAnew gives an image without a place the highest one that is free, with
// slack if there is room for it.
func (l *layout) placeAnew(it *item) {
	if it.placed || it.failure != "" || !l.readFixups(it) {
		return
	}
	m := it.subject.image
	room := l.place.Room.intersect(m.limits())
	if m.Base >= 1<<32 {
		room.Low = max(room.Low, 1<<32) // there it has the wider choice of address randomisation
	}
	need := roundUp(uint64(m.Size), Granularity)
	for _, size := range []uint64{need + slack(Range{0, need}), need} {
		if base, ok := l.taken.fit(size, room); ok {
			l.put(it, base)
			it.reserved = Range{it.base, it.base + size}
			l.taken.claim(it.reserved)
			return
		}
	}
	it.failure = "no room in " + room.String()
}
