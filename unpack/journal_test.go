package unpack

import (
	"bytes"
	"maps"
	"strings"
	"testing"
	"time"
)

func FuzzTransaction(f *testing.F) {
	for _, t := range []Transaction{
		{Number: 1, Verb: "unpack", Name: "a b\n\xff", Version: "1", Time: time.Unix(1e9, 5), recorded: map[string]int{"a b\n\xff": 1, "none": 0}},
		{Number: 7, Verb: "undo", Undoes: 3, Name: "x", Time: time.Unix(0, 0)},
	} {
		f.Add(t.marshal())
	}
	f.Add([]byte(aboutMagic + "\nnumber -1\n"))
	f.Add([]byte(aboutMagic + "\nprevious " + strings.Repeat("0", 66) + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var first, second Transaction
		if first.unmarshal(text) != nil {
			return
		}
		if err := second.unmarshal(first.marshal()); err != nil {
			t.Fatalf("%q: %v", first.marshal(), err)
		}
		if !bytes.Equal(first.marshal(), second.marshal()) {
			t.Errorf("%q\n%q", first.marshal(), second.marshal())
		}
	})
}

func FuzzSources(f *testing.F) {
	f.Add(sourceMap{"a/b": "1/2", "nasty\n\xff\"": "3/4/\x00"}.marshal())
	f.Add([]byte(`"a" "b`))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, second := make(sourceMap), make(sourceMap)
		if first.unmarshal(text) != nil {
			return
		}
		if err := second.unmarshal(first.marshal()); err != nil {
			t.Fatalf("%q: %v", first.marshal(), err)
		}
		if !maps.Equal(first, second) {
			t.Errorf("%q\n%q", first, second)
		}
	})
}
