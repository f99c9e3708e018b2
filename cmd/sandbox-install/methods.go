package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/overlay"
)

// methods are all capture methods, the best first; each next one works in more
// places.
var methods = []capture.Method{
	&overlay.Method{},
}

// methodNames are the words that --method takes.
func methodNames() []string {
	names := []string{"auto"}
	for _, m := range methods {
		names = append(names, m.Name())
	}
	return names
}

// chooseMethod finds the method of that name, or the first that works here. The
// reasons against the others go to verbose.
func chooseMethod(ctx context.Context, name string, verbose io.Writer) (capture.Method, error) {
	if name == "auto" {
		m, rejected, err := capture.Select(ctx, methods)
		for _, r := range rejected {
			fmt.Fprintf(verbose, "sandbox-install: not by %s: %v\n", r.Method.Name(), r.Reason)
		}
		return m, err
	}
	for _, m := range methods {
		if m.Name() != name {
			continue
		}
		if err := m.Probe(ctx); err != nil {
			return nil, fmt.Errorf("method %s: %w", name, err)
		}
		return m, nil
	}
	return nil, errors.New("no such method: " + name) // the flag has refused it before
}
