package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/unpack"
)

func historyCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	return f.register(&cobra.Command{
		Use:   "history [flags]",
		Short: "Print the transactions that were done in a root",
		Args:  exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			return f.with(func(r *unpack.Root) error {
				all, err := r.History()
				if err != nil {
					return err
				}
				return printHistory(stdio, all, f.asJSON)
			})
		},
	})
}

type transactionJSON struct {
	Transaction int       `json:"transaction"`
	Time        time.Time `json:"time"`
	Verb        string    `json:"verb"`
	Undoes      int       `json:"undoes,omitempty"`
	Name        string    `json:"name"`
	Version     string    `json:"version"`
	Changes     int       `json:"changes"`
}

func printHistory(stdio *stdio, all []*unpack.Transaction, asJSON bool) error {
	if asJSON {
		told := []transactionJSON{}
		for _, t := range all {
			told = append(told, transactionJSON{t.Number, t.Time, t.Verb, t.Undoes, t.Name, t.Version, len(t.Changes())})
		}
		return printJSON(stdio.out, told)
	}
	for _, t := range all {
		verb := t.Verb
		if t.Undoes != 0 {
			verb = fmt.Sprintf("undo %d", t.Undoes)
		}
		_, err := fmt.Fprintf(stdio.out, "%d\t%s\t%s\t%s\t%s\n", t.Number, t.Time.Format(time.RFC3339), verb, t.Name, t.Version)
		if err != nil {
			return err
		}
	}
	return nil
}

func undoCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	var number int
	cmd := f.rebase.registerFollow(f.register(&cobra.Command{
		Use:   "undo [flags] [NUMBER]",
		Short: "Bring back what was there before a transaction",
		Long: `Undo brings back what was there before the transaction of a number that "history"
shows; without one, before the last that is neither an undo nor undone. An undo is
a transaction too, and may be undone by its number.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("undo takes one number")
			}
			if len(args) == 1 {
				if _, err := fmt.Sscanf(args[0], "%d", &number); err != nil || number <= 0 || fmt.Sprint(number) != args[0] {
					return usagef("undo %s: want the number of a transaction", args[0])
				}
			}
			return nil
		},
		RunE: func(*cobra.Command, []string) error {
			if err := f.complete(); err != nil {
				return err
			}
			return f.change(stdio, changeVerb{
				plan: func(r *unpack.Root) (*unpack.Plan, error) { return r.PlanUndo(number, f.policy) },
				do:   func(r *unpack.Root) (*unpack.Done, error) { return r.Undo(number, f.policy) },
			})
		},
	}))
	cmd.Flags().BoolVar(&f.dry, "plan", false, "print what would be done, and do nothing")
	f.registerYours(cmd)
	return cmd
}

func rollbackCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	var to string
	cmd := f.rebase.registerFollow(f.register(&cobra.Command{
		Use:   "rollback [flags] --to NUMBER|TIME",
		Short: "Undo all transactions after one, or after a time",
		Long: `Rollback undoes, the last one first, every transaction after the one of a number, or
after a time (as 2006-01-02, 2006-01-02 15:04 or RFC 3339), that is not undone yet. 0
is the state before all. Each undo is a transaction: one that is refused ends the
rollback there, and what was undone stays so.`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			if to == "" {
				return usagef("rollback: want --to")
			}
			if err := f.complete(); err != nil {
				return err
			}
			var numbers []int
			err := f.with(func(r *unpack.Root) error {
				number, err := transactionAt(r, to)
				if err == nil {
					numbers, err = r.PlanRollback(number)
				}
				return err
			})
			if err != nil {
				return err
			}
			return f.undoAll(stdio, numbers)
		},
	}))
	cmd.Flags().StringVar(&to, "to", "", "the transaction that is to be the last, a `NUMBER` or TIME")
	cmd.Flags().BoolVar(&f.dry, "plan", false, "print which transactions would be undone, and do nothing")
	f.registerYours(cmd)
	return cmd
}

// transactionAt finds a transaction by its number or a time.
func transactionAt(r *unpack.Root, to string) (int, error) {
	if n, err := strconv.Atoi(to); err == nil {
		return n, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if when, err := time.ParseInLocation(layout, to, time.Local); err == nil {
			return r.At(when)
		}
	}
	return 0, usagef("--to %s: want the number of a transaction, or a time", to)
}

// undoAll undoes transactions one after the other, or prints their numbers.
func (f *targetFlags) undoAll(stdio *stdio, numbers []int) error {
	for _, number := range numbers {
		if f.dry {
			if _, err := fmt.Fprintf(stdio.out, "undo\t%d\n", number); err != nil {
				return err
			}
			continue
		}
		err := f.change(stdio, changeVerb{do: func(r *unpack.Root) (*unpack.Done, error) { return r.Undo(number, f.policy) }})
		if err != nil {
			return err
		}
	}
	return nil
}

// maxDays is how many a time.Duration can hold.
const maxDays = math.MaxInt64 / int(24*time.Hour)

func pruneCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	var keep unpack.Retention
	var days int
	cmd := f.register(&cobra.Command{
		Use:   "prune [flags]",
		Short: "Remove what is kept for undoing old transactions",
		Long: `Prune removes the files that transactions displaced, but those of the last ones and
of the last days, and those that come back when an installed package is removed.
Transactions whose files are gone can not be undone any more. Nothing else ever
removes them. It prints the numbers of the transactions.`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			keep.Age = time.Duration(min(days, maxDays)) * 24 * time.Hour
			return f.with(func(r *unpack.Root) error {
				pruned, err := r.Prune(keep)
				if f.asJSON {
					return errors.Join(err, printJSON(stdio.out, append([]int{}, pruned...)))
				}
				for _, n := range pruned {
					if _, err := fmt.Fprintln(stdio.out, n); err != nil {
						return err
					}
				}
				return err
			})
		},
	})
	cmd.Flags().IntVar(&keep.Transactions, "keep", 10, "keep what the last `N` transactions displaced")
	cmd.Flags().IntVar(&days, "days", 30, "keep what was displaced in the last `N` days")
	return cmd
}

func recoverCommand(stdio *stdio) *cobra.Command {
	f := &targetFlags{}
	var staging string
	cmd := f.rebase.registerFollow(f.register(&cobra.Command{
		Use:   "recover [flags]",
		Short: "Finish or take back what a crash interrupted",
		Long: `Recover finishes or takes back what an interrupted unpack left in the root. It also
rolls back killed runs on the live system: by seccomp, what their journals tell of; by
hashdiff, if begun with --roll-back, everything in their scope
becomes what it was before, whoever changed it since. The archives that killed runs
unpacked for --root are removed.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(recoverRuns(cmd.Context(), stdio, staging), f.with(func(r *unpack.Root) error {
				recovery, err := r.Recover()
				err = errors.Join(err, f.followRecovery(stdio, recovery))
				if f.asJSON && recovery != nil {
					return errors.Join(err, printJSON(stdio.out, recoveryJSON(recovery)))
				}
				printRecovery(stdio, recovery)
				return err
			}))
		},
	}))
	cmd.Flags().StringVar(&staging, "staging", "", "the `DIR` that killed runs were given (default: the same as theirs)")
	return cmd
}
