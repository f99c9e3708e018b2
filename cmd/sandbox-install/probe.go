package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sandbox-install/sandbox-install/capture"
)

// A probeResult is a row of the probe table.
type probeResult struct {
	Method string `json:"method"`
	Works  bool   `json:"works"`
	Reason string `json:"reason,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

func probeCommand(io *stdio) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Show which capture methods work here, and why the others do not",
		Long: `Probe really tries what each method needs. It exits with status 1 if none works.
The first that works is the one that --method auto takes, but it never takes
hashdiff for the live system: that must be asked for by name.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			results, works := probeAll(cmd), false
			for _, r := range results {
				works = works || r.Works
			}
			err := printProbe(io, results, asJSON)
			if err == nil && !works {
				err = statusError(1)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func probeAll(cmd *cobra.Command) []probeResult {
	var results []probeResult
	for _, m := range methods {
		r := probeResult{Method: m.Name(), Works: true}
		if err := m.Probe(cmd.Context()); err != nil {
			r = probeResult{Method: m.Name(), Reason: err.Error()}
			var unavailable *capture.Unavailable
			if errors.As(err, &unavailable) {
				r.Hint = unavailable.Hint
			}
		}
		results = append(results, r)
	}
	return results
}

func printProbe(io *stdio, results []probeResult, asJSON bool) error {
	if asJSON {
		return printJSON(io.out, results)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	for _, r := range results {
		if r.Works {
			fmt.Fprintf(w, "%s\tworks\n", r.Method)
			continue
		}
		fmt.Fprintf(w, "%s\tno\t%s\n", r.Method, r.Reason)
		if r.Hint != "" {
			fmt.Fprintf(w, "\t\thint: %s\n", r.Hint)
		}
	}
	return w.Flush()
}
