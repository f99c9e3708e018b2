package rebase

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// An Action is what a plan does with a file.
type Action string

// The actions.
const (
	Keep Action = "keep" // it has its place already
	Move Action = "move" // or change where it is, see Policy.ClearDynamic
	Left Action = "left" // it must stay where it is, by a Rule, and is in nobody's way
	Skip Action = "skip" // not an image that this database is about
	Fail Action = "fail" // it collides and can not be moved, or there is no room
)

// A Placement is what a plan says about one file.
type Placement struct {
	File
	Action   Action
	Machine  Machine
	From, To uint64 // bases; equal unless the action is Move
	Size     uint32
	Reserved uint64
	Rule     Rule     // for Left, and for Fail where a rule is the reason
	Reason   string   // a sentence, where the action does not say it all
	With     []string // who holds the addresses it asks for

	subject *subject
}

// A Plan is a set of placements, sorted by name. Making it writes nothing.
type Plan struct {
	Placements []Placement
	policy     *Policy
	root       *os.Root
	layouts    []*layout
}

// NewPlan surveys files below root and gives each its place.
//
// Preconditions: the caller holds the lock of the policy's database, if the plan
// is to be applied.
func NewPlan(ctx context.Context, root *Root, files []File, policy *Policy) (*Plan, error) {
	subjects, err := survey(ctx, root.Root, files, policy)
	if err != nil {
		return nil, err
	}
	return newPlan(subjects, policy, root.Root), nil
}

// newPlan places subjects. Root is needed where their fixups are not yet read.
func newPlan(subjects []*subject, policy *Policy, root *os.Root) *Plan {
	plan := &Plan{policy: policy, root: root}
	byMachine := make(map[Machine][]*subject)
	for _, s := range subjects {
		if reason := unfit(s, policy); reason != nil {
			plan.Placements = append(plan.Placements, reason.placement(s))
			continue
		}
		byMachine[s.image.Machine] = append(byMachine[s.image.Machine], s)
	}
	for _, m := range Machines {
		l := newLayout(m, policy, root)
		l.add(byMachine[m])
		l.arrange()
		plan.layouts = append(plan.layouts, l)
		for _, it := range l.items {
			if it.subject != nil {
				plan.Placements = append(plan.Placements, it.placement(policy.ClearDynamic && !policy.Stay))
			}
		}
	}
	slices.SortFunc(plan.Placements, func(a, b Placement) int { return cmp.Compare(a.Name, b.Name) })
	return plan
}

// A misfit is why a file has no part in the address space.
type misfit struct {
	action Action
	reason error
}

// unfit returns why a file is none of the database's business, or nil. No two
// programs are ever in one process, firmware images in none, and .NET's loader
// moves whatever collides: of these, what must stay needs no place of its own.
func unfit(s *subject, p *Policy) *misfit {
	var fixed *Fixed
	switch {
	case errors.Is(s.err, ErrNotImage):
		return &misfit{Skip, s.err}
	case errors.As(s.err, &fixed):
		return &misfit{Left, s.err}
	case s.err != nil:
		return &misfit{Fail, s.err}
	}
	if err := p.Database.CanHold(s.image.Machine); err != nil {
		return &misfit{Skip, err}
	}
	for _, db := range p.Respect {
		if db.Find(s.Name) != nil {
			return &misfit{Skip, fmt.Errorf("belongs to %s", db.Path)}
		}
	}
	if fixed = p.fixed(s); fixed != nil && (fixed.Rule == RuleEFI || fixed.Rule == RuleCLR || !s.image.DLL && fixed.Rule != RulePinned) {
		return &misfit{Left, fixed}
	}
	return nil
}

func (m *misfit) placement(s *subject) Placement {
	p := Placement{File: s.File, Action: m.action, Reason: m.reason.Error(), subject: s}
	var path *fs.PathError
	if errors.As(m.reason, &path) {
		p.Reason = path.Err.Error() // the name is told anyway
	}
	var fixed *Fixed
	if errors.As(m.reason, &fixed) {
		p.Rule = fixed.Rule
	}
	if s.image != nil {
		p.Machine, p.From, p.To, p.Size = s.image.Machine, s.image.Base, s.image.Base, s.image.Size
	}
	return p
}

// Failed returns how many files could not be given a place.
func (p *Plan) Failed() int {
	return p.count(Fail)
}

// Moves returns how many files have to be moved.
func (p *Plan) Moves() int {
	return p.count(Move)
}

func (p *Plan) count(a Action) int {
	n := 0
	for i := range p.Placements {
		if p.Placements[i].Action == a {
			n++
		}
	}
	return n
}

// placement says what became of an item. With clear, one that has its place but
// asks the loader for another is to be changed, too.
func (it *item) placement(clear bool) Placement {
	h := &it.subject.image.Header
	p := Placement{
		File: it.subject.File, Machine: h.Machine, From: h.Base, To: h.Base, Size: h.Size,
		Reserved: it.reserved.High - it.reserved.Low, With: it.with, subject: it.subject,
	}
	if it.fixed != nil {
		p.Rule, p.Reason = it.fixed.Rule, it.fixed.Reason
	}
	switch {
	case it.failure != "":
		p.Action, p.Reason = Fail, joinReasons(p.Reason, it.failure)
	case it.base != h.Base:
		p.Action, p.To = Move, it.base
	case it.fixed == nil && clear && h.asks() != 0:
		p.Action, p.Reason = Move, "only the flags that ask for a base at random"
	case it.fixed != nil:
		p.Action = Left
	default:
		p.Action = Keep
	}
	return p
}

func joinReasons(why, failure string) string {
	if why == "" {
		return failure
	}
	return fmt.Sprintf("%s; %s", failure, why)
}
