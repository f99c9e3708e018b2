package dialect

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// long is a list of a tree as long as the largest one in any.
func long(format string) string {
	var b strings.Builder
	b.WriteString(map[string]string{"pkgsrc": "@comment $NetBSD$\n", "openbsd": "@comment $OpenBSD$\n"}[format])
	for i := range 65000 {
		fmt.Fprintf(&b, "share/texmf-dist/doc/latex/package%04d/file-%05d.tex\n", i/20, i)
	}
	return b.String()
}

func BenchmarkReadCheckWrite(b *testing.B) {
	for _, format := range treeNames {
		b.Run(format, func(b *testing.B) {
			text := long(format)
			for b.Loop() {
				doc, err := Parse(format, text)
				if err != nil {
					b.Fatal(err)
				}
				if findings, err := Check(doc, nil); err != nil || len(findings) > 0 {
					b.Fatal(err, findings)
				}
				if _, err := doc.WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	items, err := must(Parse("pkgsrc", long("pkgsrc"))).Items()
	if err != nil {
		b.Fatal(err)
	}
	variants := []Variant{{Options: Assignment{}, Items: items[:40000]}, {Options: Assignment{"x": true}, Items: items}, {Options: Assignment{"x": true, "y": true}, Items: items}}
	for b.Loop() {
		if _, err := Merge(variants); err != nil {
			b.Fatal(err)
		}
	}
}

func must(doc *Document, err error) *Document {
	if err != nil {
		panic(err)
	}
	return doc
}
