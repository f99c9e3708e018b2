package hashdiff

import (
	"io"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A pair is what a path was and what it is; nil where it was or is nothing.
type pair struct{ before, after *Record }

// path is the entry path of both.
func (p *pair) path() string {
	if p.before != nil {
		return p.before.Path
	}
	return p.after.Path
}

// compare gives all paths of two sources, in order.
func compare(before, after Source, found func(pair) error) error {
	a, b := head{source: before}, head{source: after}
	for {
		if err := a.fill(); err != nil {
			return err
		}
		if err := b.fill(); err != nil {
			return err
		}
		var p pair
		switch c := order(a.record, b.record); {
		case a.record == nil && b.record == nil:
			return nil
		case c < 0:
			p.before = a.take()
		case c > 0:
			p.after = b.take()
		default:
			p = pair{a.take(), b.take()}
		}
		if err := found(p); err != nil {
			return err
		}
	}
}

// order compares the paths of two records; the end of a source comes last.
func order(a, b *Record) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return +1
	case b == nil:
		return -1
	}
	return plist.ComparePaths(a.Path, b.Path)
}

// A head is the record that a source is at.
type head struct {
	source Source
	record *Record // nil before it is filled, and at the end
	ended  bool
}

func (h *head) fill() (err error) {
	if h.record != nil || h.ended {
		return nil
	}
	h.record, err = h.source.Next()
	if err == io.EOF {
		h.ended, err = true, nil
	}
	return err
}

func (h *head) take() *Record {
	r := h.record
	h.record = nil
	return r
}

// Nothing is the Source of an empty tree.
type Nothing struct{}

// Next returns io.EOF.
func (Nothing) Next() (*Record, error) { return nil, io.EOF }
