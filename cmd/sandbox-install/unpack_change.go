package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sandbox-install/sandbox-install/unpack"
)

// exitRefused says that a plan was refused and nothing written.
const exitRefused = 3

// A changeVerb is one that changes a root: how it is planned, and how done.
type changeVerb struct {
	plan func(*unpack.Root) (*unpack.Plan, error)
	do   func(*unpack.Root) (*unpack.Done, error)
}

// change plans or does, and tells about it.
func (f *targetFlags) change(stdio *stdio, v changeVerb) error {
	err := f.with(func(r *unpack.Root) error {
		told := changeReport{asJSON: f.asJSON, Changes: []changeJSON{}, Notes: []string{}}
		if f.dry {
			p, err := v.plan(r)
			if err != nil {
				return err
			}
			told.add(&p.Transaction, p.Notes)
			return told.printPlan(stdio)
		}
		done, err := f.following(stdio, v).do(r)
		if done != nil {
			told.recovered(stdio, done.Recovered)
		}
		if err != nil {
			return err
		}
		told.add(&done.Transaction, done.Notes)
		return told.printDone(stdio)
	})
	return f.refusal(stdio, err)
}

// A changeReport tells of a change that was planned or done.
type changeReport struct {
	asJSON bool

	Transaction int            `json:"transaction"`
	Verb        string         `json:"verb"`
	Undoes      int            `json:"undoes,omitempty"`
	Name        string         `json:"name"`
	Version     string         `json:"version"`
	Changes     []changeJSON   `json:"changes"`
	Notes       []string       `json:"notes"`
	Recovered   *recoveredJSON `json:"recovered,omitempty"`
}

type changeJSON struct {
	Action string `json:"action"`
	pathJSON
}

// A pathJSON is a path in JSON, which has no strings of bytes.
type pathJSON struct {
	Path  string `json:"path"`
	Bytes []byte `json:"path_bytes,omitempty"` // if Path is not UTF-8
}

func pathForJSON(entry string) pathJSON {
	p := pathJSON{Path: absolute(entry)}
	if !utf8.ValidString(p.Path) {
		p.Bytes = []byte(p.Path)
	}
	return p
}

type recoveredJSON struct {
	Transaction int      `json:"transaction"`
	Verb        string   `json:"verb"`
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Finished    bool     `json:"finished"` // else taken back
	Kept        []string `json:"kept"`
}

func (c *changeReport) add(t *unpack.Transaction, notes []string) {
	c.Transaction, c.Verb, c.Undoes, c.Name, c.Version = t.Number, t.Verb, t.Undoes, t.Name, t.Version
	c.Notes = append(c.Notes, notes...)
	for _, one := range t.Changes() {
		c.Changes = append(c.Changes, changeJSON{one.Action, pathForJSON(one.Path)})
	}
}

// recovered tells of a transaction that had been interrupted, at once or in the
// JSON to come.
func (c *changeReport) recovered(stdio *stdio, r *unpack.Recovery) {
	if r == nil {
		return
	}
	if c.Recovered = recoveryJSON(r); !c.asJSON {
		printRecovery(stdio, r)
	}
}

func recoveryJSON(r *unpack.Recovery) *recoveredJSON {
	return &recoveredJSON{r.Number, r.Verb, r.Name, r.Version, r.Done, append([]string{}, r.Kept...)}
}

func (c *changeReport) printPlan(stdio *stdio) error {
	if c.asJSON {
		return printJSON(stdio.out, c)
	}
	printNotes(stdio, c.Notes)
	for _, one := range c.Changes {
		if _, err := fmt.Fprintf(stdio.out, "%s\t%s\n", one.Action, one.Path); err != nil {
			return err
		}
	}
	return nil
}

func (c *changeReport) printDone(stdio *stdio) error {
	if c.asJSON {
		return printJSON(stdio.out, c)
	}
	printNotes(stdio, c.Notes)
	fmt.Fprintf(stdio.err, "sandbox-install: %s %s %s: %d changes; transaction %d\n",
		c.Verb, c.Name, c.Version, len(c.Changes), c.Transaction)
	return nil
}

func printNotes(stdio *stdio, notes []string) {
	for _, n := range notes {
		fmt.Fprintf(stdio.err, "sandbox-install: %s\n", visible(n))
	}
}

// visible shows control characters, which names in a package may have, as vis(3) does.
func visible(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			fmt.Fprintf(&b, "\\%03o", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func printRecovery(stdio *stdio, r *unpack.Recovery) {
	if r == nil {
		return
	}
	what := "taken back"
	if r.Done {
		what = "finished"
	}
	fmt.Fprintf(stdio.err, "sandbox-install: transaction %d (%s %s %s) had been interrupted; it is %s\n", r.Number, r.Verb, r.Name, r.Version, what)
	printNotes(stdio, r.Kept)
}

type refusalJSON struct {
	pathJSON
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
	Diff   string `json:"difference,omitempty"`
}

// refusal tells all reasons why a plan was refused, each with its remedy.
func (f *targetFlags) refusal(stdio *stdio, err error) error {
	var refused unpack.Refused
	if !errors.As(err, &refused) {
		if errors.Is(err, unpack.ErrPending) {
			return &hintedError{err, "sandbox-install recover"}
		}
		return err
	}
	if f.asJSON {
		all := []refusalJSON{}
		for _, one := range refused {
			reason := refusalJSON{Reason: one.Reason, Hint: one.Hint, Diff: one.Difference}
			if one.Path != "" {
				reason.pathJSON = pathForJSON(one.Path)
			}
			all = append(all, reason)
		}
		return errors.Join(printJSON(stdio.out, map[string]any{"refused": all}), statusError(exitRefused))
	}
	hints := make(map[string]bool)
	for _, one := range refused {
		place := ""
		if one.Path != "" {
			place = absolute(one.Path) + ": "
		}
		fmt.Fprintf(stdio.err, "sandbox-install: %s\n", visible(place+one.Reason))
		for line := range strings.Lines(one.Difference) {
			fmt.Fprintln(stdio.err, visible(strings.TrimSuffix(line, "\n")))
		}
		if one.Hint != "" && !hints[one.Hint] {
			hints[one.Hint] = true
			fmt.Fprintf(stdio.err, "hint: %s\n", visible(one.Hint))
		}
	}
	fmt.Fprintln(stdio.err, "sandbox-install: refused; nothing was written")
	return statusError(exitRefused)
}
