package rebase

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sandbox-install/sandbox-install/plist"
)

// The text form of a database: a line of its own, then a line an image, sorted
// by name. A name is quoted as in Go, so that any byte can be in it. Numbers are
// hexadecimal but for lengths.
//
//	sandbox-install rebase database 1
//	"/usr/bin/cygz.dll" machine=x86-64 base=0x3f0000000 size=0x1e000 reserved=0x30000
//	  length=85011 stamp=0x5f3e checksum=0x1c2d3 blake3=... [was-base=0x180000000
//	  was-checksum=0x1a3b was-blake3=... [was-cleared=0x40] [was-signature=base64]]
//
// (each on one line). The order of the words is fixed, so that equal databases
// have equal bytes.

const textMagic = "sandbox-install rebase database 1\n"

func parseText(b []byte) ([]Record, error) {
	lines, ok := bytes.CutPrefix(b, []byte(textMagic))
	if !ok || len(lines) > 0 && lines[len(lines)-1] != '\n' {
		return nil, errCut // the last line, too, is ended when it is written
	}
	var records []Record
	n := 1
	for line := range bytes.Lines(lines) {
		n++
		r, err := parseTextRecord(string(line[:len(line)-1]))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		records = append(records, r)
	}
	return records, sortRecords(records)
}

func parseTextRecord(line string) (Record, error) {
	quoted, err := strconv.QuotedPrefix(line)
	if err != nil {
		return Record{}, errors.New("no quoted name")
	}
	p := recordParser{record: Record{}, seen: make(map[string]bool)}
	if p.record.Name, err = strconv.Unquote(quoted); err != nil {
		return Record{}, err
	}
	for word := range strings.SplitSeq(strings.TrimPrefix(line[len(quoted):], " "), " ") {
		key, value, _ := strings.Cut(word, "=")
		if p.seen[key] {
			return Record{}, fmt.Errorf("word %q is repeated", key)
		}
		p.seen[key] = true
		if err := p.set(key, value); err != nil {
			return Record{}, fmt.Errorf("word %q: %w", word, err)
		}
	}
	return p.finish()
}

type recordParser struct {
	record Record
	file   Identity
	was    Past
	seen   map[string]bool
}

// set stores one word. It is a table.
func (p *recordParser) set(key, value string) (err error) {
	switch key {
	case "machine":
		p.record.Machine, err = ParseMachine(value)
	case "base":
		p.record.Base, err = parseHex(value, 64)
	case "size":
		err = parseHex32(&p.record.Size, value)
	case "reserved":
		p.record.Reserved, err = parseHex(value, 64)
	case "length":
		p.file.Length, err = strconv.ParseInt(value, 10, 64)
	case "stamp":
		err = parseHex32(&p.file.Stamp, value)
	case "checksum":
		err = parseHex32(&p.file.CheckSum, value)
	case "blake3":
		err = parseDigest(&p.file.Digest, value)
	case "was-base":
		p.was.Base, err = parseHex(value, 64)
	case "was-checksum":
		err = parseHex32(&p.was.CheckSum, value)
	case "was-blake3":
		err = parseDigest(&p.was.Digest, value)
	case "was-cleared":
		p.was.Cleared, err = parseCleared(value)
	case "was-signature":
		p.was.Signature, err = base64.StdEncoding.DecodeString(value)
	default:
		err = errors.New("unknown")
	}
	return err
}

// finish puts the record together: each of its groups of words whole or not there.
func (p *recordParser) finish() (Record, error) {
	always, err := p.group("machine", "base", "size", "reserved")
	if err != nil || !always {
		return Record{}, errors.New("machine, base, size or reserved is missing")
	}
	file, err := p.group("length", "stamp", "checksum", "blake3")
	if err != nil {
		return Record{}, err
	}
	was, err := p.group("was-base", "was-checksum", "was-blake3")
	if err != nil || was && !file || p.seen["was-cleared"] && !was || p.seen["was-signature"] && (!was || len(p.was.Signature) == 0) {
		return Record{}, errors.New("the was- words are not complete")
	}
	if file {
		p.record.File = &p.file
	}
	if was {
		p.record.Was = &p.was
	}
	return p.record, p.record.check()
}

// group reports whether all of some words were there; some but not all is an
// error.
func (p *recordParser) group(keys ...string) (bool, error) {
	n := 0
	for _, key := range keys {
		if p.seen[key] {
			n++
		}
	}
	if n != 0 && n != len(keys) {
		return false, fmt.Errorf("not all of %s", strings.Join(keys, ", "))
	}
	return n > 0, nil
}

func parseHex(s string, bits int) (uint64, error) {
	digits, ok := strings.CutPrefix(s, "0x")
	if !ok {
		return 0, errors.New("no hexadecimal number")
	}
	return strconv.ParseUint(digits, 16, bits)
}

// parseCleared reads flags that the file does not have and its original had.
func parseCleared(s string) (uint16, error) {
	v, err := parseHex(s, 16)
	if err == nil && (v == 0 || v&^(dllDynamicBase|dllHighEntropy) != 0) {
		err = errors.New("not of the flags that are ever cleared")
	}
	return uint16(v), err
}

func parseHex32(to *uint32, s string) error {
	v, err := parseHex(s, 32)
	*to = uint32(v)
	return err
}

func parseDigest(to *plist.Digest, s string) error {
	if len(s) != 2*len(to) {
		return errors.New("no BLAKE3 digest")
	}
	_, err := hex.Decode(to[:], []byte(s))
	return err
}

func encodeText(records []Record) []byte {
	b := []byte(textMagic)
	for i := range records {
		r := &records[i]
		b = fmt.Appendf(b, "%q machine=%v base=%#x size=%#x reserved=%#x", r.Name, r.Machine, r.Base, r.Size, r.Reserved)
		if id := r.File; id != nil {
			b = fmt.Appendf(b, " length=%d stamp=%#x checksum=%#x blake3=%v", id.Length, id.Stamp, id.CheckSum, id.Digest)
		}
		if was := r.Was; was != nil {
			b = fmt.Appendf(b, " was-base=%#x was-checksum=%#x was-blake3=%v", was.Base, was.CheckSum, was.Digest)
			if was.Cleared != 0 {
				b = fmt.Appendf(b, " was-cleared=%#x", was.Cleared)
			}
			if len(was.Signature) > 0 {
				b = fmt.Appendf(b, " was-signature=%s", base64.StdEncoding.EncodeToString(was.Signature))
			}
		}
		b = append(b, '\n')
	}
	return b
}
