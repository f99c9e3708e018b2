package unpack

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Transaction is one change of the root, under way or in the history.
type Transaction struct {
	Number  int
	Verb    string // "unpack", "replace", "remove" or "undo"
	Undoes  int    // the number of the transaction that was undone; else 0
	Name    string // of the package
	Version string
	Time    time.Time

	// Before and After say what is there before and after it, of the same paths.
	Before, After *plist.List

	// Edits are the lines of shared files that it adds and removes.
	Edits []Edit

	// Previous is the digest of the transaction before it: see Root.VerifyHistory.
	Previous plist.Digest

	// recorded are the records that it changes, by package: which transaction wrote those
	// that are there afterwards; 0 if there is none.
	recorded map[string]int
}

const aboutMagic = "sandbox-install transaction 1"

// marshal returns the text of all but the two lists.
func (t *Transaction) marshal() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, aboutMagic)
	fmt.Fprintf(&b, "number %d\nverb %s\n", t.Number, t.Verb)
	if t.Undoes != 0 {
		fmt.Fprintf(&b, "undoes %d\n", t.Undoes)
	}
	for _, name := range slices.Sorted(maps.Keys(t.recorded)) {
		fmt.Fprintf(&b, "record %d %q\n", t.recorded[name], name)
	}
	fmt.Fprintf(&b, "previous %s\n", t.Previous)
	fmt.Fprintf(&b, "name %q\nversion %q\ntime %s\n", t.Name, t.Version, t.Time.UTC().Format(time.RFC3339Nano))
	return b.Bytes()
}

// unmarshal is the inverse of marshal.
func (t *Transaction) unmarshal(text []byte) error {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if lines[0] != aboutMagic {
		return errors.New("not a transaction")
	}
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, " ")
		var err error
		switch key {
		case "number":
			t.Number, err = strconv.Atoi(value)
		case "verb":
			t.Verb = value
		case "undoes":
			t.Undoes, err = strconv.Atoi(value)
		case "record":
			err = t.unmarshalRecord(value)
		case "previous":
			t.Previous, err = parseDigest(value)
		case "name":
			t.Name, err = strconv.Unquote(value)
		case "version":
			t.Version, err = strconv.Unquote(value)
		case "time":
			t.Time, err = time.Parse(time.RFC3339Nano, value)
		default:
			err = errors.New("unknown word")
		}
		if err != nil {
			return fmt.Errorf("%q: %w", line, err)
		}
	}
	if t.Number <= 0 {
		return errors.New("no number")
	}
	return nil
}

func (t *Transaction) unmarshalRecord(value string) error {
	number, quoted, _ := strings.Cut(value, " ")
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	name, err := strconv.Unquote(quoted)
	if t.recorded == nil {
		t.recorded = make(map[string]int)
	}
	t.recorded[name] = n
	return err
}

// A sourceMap says where the content of displaced files is kept: entry path to
// path below the store.
type sourceMap map[string]string

// A Recovery is what was done about a transaction that was interrupted.
type Recovery struct {
	Transaction
	Done bool     // finished; else taken back
	Kept []string // what was found that nobody had planned for, a sentence each
}
