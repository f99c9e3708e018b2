package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/overlay"
	"github.com/sandbox-install/sandbox-install/trace/redirect"
)

// methods are all capture methods, the best first; each next one works in more
// places.
var methods = []capture.Method{
	overlayMethod,
	&overlay.Rootless{},
	&overlay.Fuse{},
	traceMethod,
	redirectMethod,
	liveMethod,
}

var (
	overlayMethod  = &overlay.Method{}
	redirectMethod = &redirect.Method{}
)

// automatic are the methods that are chosen without being named: none that would
// let the command change the live system. In another root hashdiff works in a copy.
// A redirection shows its root less than root can do, but does it in a plain container,
// too, where nothing before it works.
func automatic(root string) []capture.Method {
	return slices.DeleteFunc(slices.Clone(methods), func(m capture.Method) bool {
		switch m {
		case traceMethod:
			return true
		case redirectMethod:
			return root != ""
		case liveMethod:
			return root == ""
		}
		return false
	})
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
// reasons against the others go to verbose. Root is what was given with --root.
func chooseMethod(ctx context.Context, name, root string, verbose io.Writer) (capture.Method, error) {
	if name == "auto" {
		m, rejected, err := capture.Select(ctx, automatic(root))
		for _, r := range rejected {
			fmt.Fprintf(verbose, "sandbox-install: not by %s: %v\n", r.Method.Name(), r.Reason)
		}
		if err != nil && root == "" {
			err = &hintedError{err, "--method seccomp runs the command on the live system and puts everything back; --root DIR captures in a copy of DIR; sandbox-install probe tells what the others need"}
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
