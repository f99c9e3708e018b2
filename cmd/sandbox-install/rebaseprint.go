package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sandbox-install/sandbox-install/rebase"
)

// A jsonPlacement is a rebase.Placement for a machine. Addresses are strings, as
// everywhere else, since JSON has no hexadecimal numbers.
type jsonPlacement struct {
	Name     string   `json:"name"`
	Action   string   `json:"action"`
	Machine  string   `json:"machine,omitempty"`
	From     string   `json:"from,omitempty"`
	To       string   `json:"to,omitempty"`
	Size     uint32   `json:"size,omitempty"`
	Reserved uint64   `json:"reserved,omitempty"`
	Rule     string   `json:"rule,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	With     []string `json:"with,omitempty"`
}

func newJSONPlacement(p *rebase.Placement) jsonPlacement {
	j := jsonPlacement{
		Name: p.Name, Action: string(p.Action), Size: p.Size, Reserved: p.Reserved,
		Rule: string(p.Rule), Reason: p.Reason, With: p.With,
	}
	if p.Machine != 0 {
		j.Machine = p.Machine.String()
		j.From, j.To = fmt.Sprintf("%#x", p.From), fmt.Sprintf("%#x", p.To)
	}
	return j
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// printPlacements tells what is to be done or was done, and is exitFindings if
// something could not be.
func (s *rebaseSession) printPlacements(placements []rebase.Placement) error {
	counts := make(map[rebase.Action]int)
	out := make([]jsonPlacement, 0, len(placements))
	for i := range placements {
		p := &placements[i]
		counts[p.Action]++
		out = append(out, newJSONPlacement(p))
		if !s.flags.json && (s.flags.verbose || p.Action == rebase.Move || p.Action == rebase.Fail || p.Rule != "") {
			fmt.Fprintln(s.stdio.out, placementLine(p))
		}
	}
	for _, note := range s.notes {
		fmt.Fprintf(s.stdio.err, "sandbox-install: note: %s\n", note)
	}
	if s.flags.json {
		if err := printJSON(s.stdio.out, map[string]any{"placements": out}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.stdio.err, "sandbox-install: %d moved, %d kept, %d left alone, %d skipped, %d failed\n",
			counts[rebase.Move], counts[rebase.Keep], counts[rebase.Left], counts[rebase.Skip], counts[rebase.Fail])
		s.hintSigned(s.stdio, placements, "--drop-signature")
	}
	if counts[rebase.Fail] > 0 {
		return exitFindings
	}
	return nil
}

// hintSigned names the flag that would move what only its signature keeps.
func (s *rebaseSession) hintSigned(stdio *stdio, placements []rebase.Placement, flag string) {
	signed := func(p rebase.Placement) bool { return p.Action == rebase.Fail && p.Rule == rebase.RuleSigned }
	if !s.policy.DropSignature && slices.ContainsFunc(placements, signed) {
		fmt.Fprintf(stdio.err, "hint: %s moves signed images, too, without their signature\n", flag)
	}
}

func placementLine(p *rebase.Placement) string {
	line := fmt.Sprintf("%s %s", p.Action, p.Name)
	if p.Machine != 0 {
		line += fmt.Sprintf(" %#x", p.From)
	}
	if p.Action == rebase.Move {
		line += fmt.Sprintf(" -> %#x", p.To)
	}
	if p.Reason != "" {
		line += ": " + p.Reason
	}
	if len(p.With) > 0 {
		line += ": " + strings.Join(p.With, ", ")
	}
	return line
}

// printFindings tells what a check found, and is exitFindings if that is
// anything.
func printFindings(stdio *stdio, findings []rebase.Finding, asJSON bool) error {
	type jsonFinding struct {
		Name    string   `json:"name"`
		Problem string   `json:"problem"`
		Reason  string   `json:"reason"`
		With    []string `json:"with,omitempty"`
	}
	out := make([]jsonFinding, 0, len(findings))
	for _, f := range findings {
		out = append(out, jsonFinding{f.Name, string(f.Problem), f.Reason, f.With})
		if !asJSON {
			fmt.Fprintf(stdio.out, "%s %s: %s", f.Problem, f.Name, f.Reason)
			if len(f.With) > 0 {
				fmt.Fprintf(stdio.out, ": %s", strings.Join(f.With, ", "))
			}
			fmt.Fprintln(stdio.out)
		}
	}
	if asJSON {
		if err := printJSON(stdio.out, map[string]any{"findings": out}); err != nil {
			return err
		}
	}
	if len(findings) > 0 {
		return exitFindings
	}
	return nil
}

// info lists the records of the database, or the files named, by address.
func (s *rebaseSession) info(args []string) error {
	db := s.db
	if len(args) > 0 || s.flags.list != "" || s.flags.discover {
		var err error
		if db, err = s.asFound(args); err != nil {
			return err
		}
	} else if s.flags.db == "" {
		return usagef("name files, or --db FILE")
	}
	with := make(map[string][]string)
	for _, f := range rebase.Collisions(db, s.policy.Respect) {
		with[f.Name] = f.With
	}
	records := slices.Clone(db.Records())
	slices.SortStableFunc(records, func(a, b rebase.Record) int {
		return cmp.Or(cmp.Compare(a.Machine.String(), b.Machine.String()), cmp.Compare(a.Base, b.Base))
	})
	if s.flags.json {
		return printInfoJSON(s.stdio, records, with)
	}
	for _, r := range records {
		sign := ' '
		if with[r.Name] != nil {
			sign = '*'
		}
		fmt.Fprintf(s.stdio.out, "%-6v %c base %#012x size %#08x slot %#08x %s\n", r.Machine, sign, r.Base, r.Size, r.Reserved, r.Name)
	}
	return nil
}

// asFound returns a database of files as they are. What is no image is told.
func (s *rebaseSession) asFound(args []string) (*rebase.Database, error) {
	files, err := s.files(args)
	if err != nil {
		return nil, err
	}
	db := rebase.NewDatabase("")
	for _, file := range files {
		h, err := s.readHeader(file)
		if err != nil {
			fmt.Fprintf(s.stdio.err, "sandbox-install: %s: %v\n", file.Name, err)
			continue
		}
		db.Put(h.Record(file.Name))
	}
	return db, nil
}

func (s *rebaseSession) readHeader(file rebase.File) (*rebase.Header, error) {
	f, err := s.root.Open(file.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return rebase.ReadHeader(f, info.Size())
}

func printInfoJSON(stdio *stdio, records []rebase.Record, with map[string][]string) error {
	type jsonRecord struct {
		Name         string   `json:"name"`
		Machine      string   `json:"machine"`
		Base         string   `json:"base"`
		Size         uint32   `json:"size"`
		Reserved     uint64   `json:"reserved"`
		Digest       string   `json:"blake3,omitempty"`
		OriginalBase string   `json:"original_base,omitempty"`
		Original     string   `json:"original_blake3,omitempty"`
		With         []string `json:"with,omitempty"`
	}
	out := make([]jsonRecord, 0, len(records))
	for _, r := range records {
		j := jsonRecord{
			Name: r.Name, Machine: r.Machine.String(), Base: fmt.Sprintf("%#x", r.Base),
			Size: r.Size, Reserved: r.Reserved, With: with[r.Name],
		}
		if r.File != nil {
			j.Digest = r.File.Digest.String()
		}
		if r.Was != nil {
			j.OriginalBase, j.Original = fmt.Sprintf("%#x", r.Was.Base), r.Was.Digest.String()
		}
		out = append(out, j)
	}
	return printJSON(stdio.out, map[string]any{"images": out})
}
