package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/rebase"
)

// rebaseFlags are the flags of all rebase commands.
type rebaseFlags struct {
	db          string
	format      oneOf
	machine     oneOf
	baseDBs     []string
	root        string
	stripPrefix string
	mounts      []string

	list     string
	discover bool
	search   rebase.Search
	target   oneOf
	rooms    []string
	keepOuts []string
	pins     []string
	policy   rebase.Policy
	json     bool
	verbose  bool
}

func (f *rebaseFlags) registerDatabases(cmd *cobra.Command) {
	f.format = oneOf{value: string(rebase.FormatText), allowed: []string{string(rebase.FormatText), string(rebase.FormatRBII)}}
	f.machine = oneOf{value: rebase.AMD64.String(), allowed: []string{rebase.I386.String(), rebase.AMD64.String()}}
	flags := cmd.Flags()
	flags.StringVar(&f.db, "db", "", "database `FILE` to read and record in")
	flags.StringArrayVar(&f.baseDBs, "base-db", nil, "database `FILE` of another layer, to respect; may be repeated")
	flags.Var(&f.format, "db-format", "form of a new database")
	flags.Var(&f.machine, "machine", "machine of a new rbii database")
	flags.BoolVar(&f.json, "json", false, "print for a machine")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "also tell what stays as it is")
}

func (f *rebaseFlags) registerPlaces(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.root, "root", "/", "`DIR` that is the system's root when the images are used")
	flags.StringVar(&f.stripPrefix, "strip-prefix", "", "staging `DIR` (in --root) that is not part of the recorded names")
	f.registerMounts(cmd, "")
}

func (f *rebaseFlags) registerMounts(cmd *cobra.Command, prefix string) {
	cmd.Flags().StringArrayVar(&f.mounts, prefix+"mount", nil, "`NAME=PATH`: what is recorded below NAME lies below PATH; \"cygwin\" for /usr/bin=/bin and /usr/lib=/lib")
}

func (f *rebaseFlags) registerFiles(cmd *cobra.Command) {
	f.registerPlaces(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.list, "files-from", "T", "", "read further names, one a line, from `FILE` (- for the standard input)")
	flags.BoolVar(&f.discover, "discover", false, "find the images of packages, and those advertised for Cygwin's _autorebase")
	flags.BoolVar(&f.search.Programs, "exe", false, "in directories, take .exe files too")
}

func (f *rebaseFlags) registerPolicy(cmd *cobra.Command) {
	f.registerChanges(cmd, "")
	flags := cmd.Flags()
	flags.StringArrayVar(&f.rooms, "room", nil, "`MACHINE=LOW-HIGH`: where images are placed, instead of the target's range")
	flags.StringArrayVar(&f.keepOuts, "keep-out", nil, "`LOW-HIGH`: addresses to leave free; may be repeated")
	flags.StringArrayVar(&f.pins, "pin", nil, "`PATTERN[=BASE]`: images that stay where they are, or go to BASE; may be repeated")
	flags.BoolVar(&f.policy.Compact, "compact", false, "place all images anew, those recorded as well")
}

// registerChanges registers what a capture may ask for as well: there the names
// begin with prefix.
func (f *rebaseFlags) registerChanges(cmd *cobra.Command, prefix string) {
	for _, t := range rebase.Targets {
		f.target.allowed = append(f.target.allowed, string(t))
	}
	flags := cmd.Flags()
	flags.Var(&f.target, prefix+"target", "system the images are for (default cygwin for an rbii database, else windows)")
	flags.BoolVar(&f.policy.DropSignature, prefix+"drop-signature", false, "move signed images, too, without their signature")
	flags.BoolVar(&f.policy.ClearDynamic, prefix+"clear-dynamic-base", false, "take the flags DYNAMICBASE and HIGH_ENTROPY_VA, by which the loader ignores the base, from all images that may change")
	must(cmd.RegisterFlagCompletionFunc(prefix+"target", f.target.complete))
}

// completePolicy turns the flags into the policy.
func (f *rebaseFlags) completePolicy(db *rebase.Database) error {
	p := &f.policy
	p.Database = db
	p.KeepOut, p.Pins, p.Mounts = nil, nil, nil // of an earlier transaction of a rollback
	switch {
	case f.target.value != "":
		p.Target = rebase.Target(f.target.value)
	case db.Format == rebase.FormatRBII:
		p.Target = rebase.TargetCygwin
	default:
		p.Target = rebase.TargetWindows
	}
	for _, s := range f.keepOuts {
		r, err := rebase.ParseRange(s)
		if err != nil {
			return &usageError{err}
		}
		p.KeepOut = append(p.KeepOut, r)
	}
	for _, s := range f.pins {
		pin, err := rebase.ParsePin(s)
		if err != nil {
			return &usageError{err}
		}
		p.Pins = append(p.Pins, pin)
	}
	for _, s := range f.mounts {
		if s == "cygwin" {
			p.Mounts = append(p.Mounts, rebase.CygwinMounts...)
			continue
		}
		mount, err := rebase.ParseMount(s)
		if err != nil {
			return &usageError{err}
		}
		p.Mounts = append(p.Mounts, mount)
	}
	return f.completeRooms()
}

func (f *rebaseFlags) completeRooms() error {
	f.policy.Room = make(map[rebase.Machine]rebase.Range)
	for _, s := range f.rooms {
		name, room, _ := strings.Cut(s, "=")
		m, err := rebase.ParseMachine(name)
		if err != nil {
			return usagef("--room %s: %w", s, err)
		}
		if f.policy.Room[m], err = rebase.ParseRange(room); err != nil {
			return usagef("--room %s: %w", s, err)
		}
	}
	return nil
}
