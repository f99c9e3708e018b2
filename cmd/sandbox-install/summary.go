package main

import (
	"fmt"
	"slices"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/plist"
)

// A summary tells what a run found and how far it can be trusted.
type summary struct {
	Method     string         `json:"method,omitempty"`
	ExitStatus int            `json:"exit_status"` // the command's own
	Name       string         `json:"name"`
	Version    string         `json:"version"`
	Prefix     string         `json:"prefix"`
	Added      int            `json:"added"`
	Modified   int            `json:"modified"`
	Deleted    int            `json:"deleted"`
	Identical  int            `json:"identical"`
	Outside    int            `json:"outside"`
	Dropped    map[string]int `json:"dropped"` // by rule
	Shared     []sharedFile   `json:"shared"`
	Notes      []plist.Note   `json:"notes"` // what makes this result weaker than the method's promise
	Blind      []string       `json:"blind"` // what the method can not see by its nature
	Files      []string       `json:"files"` // written
}

// A sharedFile is a path that is left out, and what a package does instead.
type sharedFile struct {
	pathJSON
	Rule   string `json:"rule"`
	Action string `json:"action"`
}

// count takes the numbers from a classified list.
func (s *summary) count(l *plist.List) {
	s.Name, s.Version, s.Prefix = l.Name, l.Version, l.Prefix
	s.Dropped = make(map[string]int)
	for i := range l.Entries {
		e := &l.Entries[i]
		switch e.Class {
		case plist.ClassIdentical:
			s.Identical++
		case plist.ClassOutside:
			s.Outside++
		case plist.ClassNoise:
			s.Dropped[e.Rule]++
		case plist.ClassShared:
			s.Shared = append(s.Shared, sharedFile{pathForJSON(e.Path), e.Rule, capture.RuleByName(e.Rule).Action})
		default:
			s.countPacked(e)
		}
	}
}

func (s *summary) countPacked(e *plist.Entry) {
	switch e.Op {
	case plist.OpAdd:
		s.Added++
	case plist.OpModify:
		s.Modified++
	case plist.OpDelete:
		s.Deleted++
	}
}

// print writes the summary for a machine to standard output, or for a person to
// standard error.
func (s *summary) print(io *stdio, asJSON bool) error {
	if asJSON {
		s.Shared, s.Notes = append([]sharedFile{}, s.Shared...), append([]plist.Note{}, s.Notes...) // [], not null
		s.Blind, s.Files = append([]string{}, s.Blind...), append([]string{}, s.Files...)
		return printJSON(io.out, s)
	}
	line := func(format string, args ...any) { printNotes(io, []string{fmt.Sprintf(format, args...)}) }
	by := ""
	if s.Method != "" {
		by = ", captured by " + s.Method
	}
	line("%s %s%s: %d added, %d modified, %d deleted; lives in %s", s.Name, s.Version, by, s.Added, s.Modified, s.Deleted, s.Prefix)
	s.printLeftOut(line)
	for _, n := range s.Notes {
		line("trust: %s: %s", n.Kind, n.Text)
	}
	for _, b := range s.Blind {
		line("trust: this method can not see %s", b)
	}
	if s.Method != "" && len(s.Notes) == 0 {
		line("trust: no holes; nothing outlived the command; nothing was lost")
	}
	for _, name := range s.Files {
		line("wrote %s", name)
	}
	return nil
}

// printLeftOut says what is not in the package, and why.
func (s *summary) printLeftOut(line func(string, ...any)) {
	if s.Identical > 0 {
		line("identical: %d written as they were before, not packed", s.Identical)
	}
	if s.Outside > 0 {
		line("outside %s: %d, not packed", s.Prefix, s.Outside)
	}
	rules := make([]string, 0, len(s.Dropped))
	for rule := range s.Dropped {
		rules = append(rules, rule)
	}
	slices.Sort(rules)
	for _, rule := range rules {
		line("dropped by rule %s: %d", rule, s.Dropped[rule])
	}
	count := make(map[string]int)
	for _, f := range s.Shared {
		count[f.Rule]++
	}
	for _, f := range s.Shared {
		if n := count[f.Rule]; n > 0 {
			more := ""
			if n > 1 {
				more = fmt.Sprintf(" and %d more", n-1)
			}
			line("shared: %s%s (%s): %s", f.Path, more, f.Rule, f.Action)
			count[f.Rule] = 0
		}
	}
}
