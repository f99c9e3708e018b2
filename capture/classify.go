package capture

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/sandbox-install/sandbox-install/plist"
)

// A Policy is what the user wants of a classification.
type Policy struct {
	// Prefix, an absolute path, is where the package lives: what lies elsewhere
	// is ClassOutside, and nothing inside is noise. "" means anywhere.
	Prefix string

	// BuildDirs, absolute paths, are where the package was built; what the command
	// leaves there is noise.
	BuildDirs []string

	// Include and Exclude are doublestar patterns of absolute paths that come
	// before every rule. Exclude wins.
	Include, Exclude []string
}

// Check reports a pattern that is no pattern.
func (p *Policy) Check() error {
	for _, pattern := range append(p.Include, p.Exclude...) {
		if !doublestar.ValidatePattern(pattern) || !strings.HasPrefix(pattern, "/") && !strings.HasPrefix(pattern, "**/") {
			return fmt.Errorf("pattern %q: want a glob of absolute paths, or one that begins with **/", pattern)
		}
	}
	return nil
}

// Classify sets Class and Rule of all entries, whatever they were before.
func Classify(l *plist.List, p Policy) {
	index := newRuleIndex(rules)
	for i := range l.Entries {
		e := &l.Entries[i]
		e.Class, e.Rule = p.classify(e, index)
	}
	keepParents(l)
}

// classify decides about one entry.
func (p *Policy) classify(e *plist.Entry, index *ruleIndex) (plist.Class, string) {
	path := "/" + e.Path
	if e.Path == "." {
		path = "/"
	}
	inside := p.Prefix == "" || below(path, p.Prefix)
	switch rule := index.match(path); {
	case matchAny(p.Exclude, path):
		return plist.ClassNoise, "exclude"
	case matchAny(p.Include, path):
		return plist.ClassChanged, "include"
	case rule != nil && (rule.Class != plist.ClassNoise || p.Prefix == "" || !inside):
		return rule.Class, rule.Name
	case p.isBuilt(path) && (p.Prefix == "" || !inside):
		return plist.ClassNoise, "build-directory"
	case e.Op == plist.OpModify && e.Changed == 0:
		return plist.ClassIdentical, ""
	case !inside:
		return plist.ClassOutside, ""
	}
	return plist.ClassChanged, ""
}

// keepParents gives the directories that were added above a packed entry its
// class, so that a package can make them as they are.
func keepParents(l *plist.List) {
	var dirs []*plist.Entry // the chain of entries that hold the current path
	for i := range l.Entries {
		e := &l.Entries[i]
		for len(dirs) > 0 && !plist.Within(e.Path, dirs[len(dirs)-1].Path) {
			dirs = dirs[:len(dirs)-1]
		}
		if e.Packed() && e.Op != plist.OpDelete {
			for _, dir := range dirs {
				if dir.Op == plist.OpAdd && !dir.Packed() {
					dir.Class, dir.Rule = plist.ClassChanged, "parent"
				}
			}
		}
		dirs = append(dirs, e)
	}
}

func (p *Policy) isBuilt(path string) bool {
	return slices.ContainsFunc(p.BuildDirs, func(dir string) bool { return below(path, dir) })
}

// below reports whether path is dir or lies below it; both are absolute.
func below(path, dir string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(dir, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// MatchAny reports whether an absolute path matches one of some patterns, as those of
// a Policy.
func MatchAny(patterns []string, path string) bool { return matchAny(patterns, path) }

func matchAny(patterns []string, path string) bool {
	for _, pattern := range patterns {
		if doublestar.MatchUnvalidated(pattern, path) {
			return true
		}
	}
	return false
}

// A ruleIndex finds the first rule that matches a path without trying each
// pattern of each rule on each of a million paths.
type ruleIndex struct {
	rules []Rule
	below map[string]int // absolute path -> rule
	tails map[string]int // one or more last components -> rule
	depth int            // components of the longest tail
	globs []ruleGlob     // in the order of the rules
}

// A ruleGlob is a pattern with the part before its first special character,
// which rules it out for most paths.
type ruleGlob struct {
	rule            int
	prefix, pattern string
}

func newRuleIndex(rules []Rule) *ruleIndex {
	x := &ruleIndex{rules: rules, below: make(map[string]int), tails: make(map[string]int)}
	for i, r := range rules {
		for _, s := range r.Below {
			x.below[s] = i
		}
		for _, s := range r.Tails {
			x.tails[s] = i
			x.depth = max(x.depth, strings.Count(s, "/")+1)
		}
		for _, s := range r.Globs {
			x.globs = append(x.globs, ruleGlob{i, s[:strings.IndexAny(s, `*?[{\`)], s})
		}
	}
	return x
}

// match returns the first rule that matches the absolute path, or nil.
func (x *ruleIndex) match(path string) *Rule {
	best := len(x.rules)
	try := func(rules map[string]int, key string) {
		if i, ok := rules[key]; ok {
			best = min(best, i)
		}
	}
	for end := 1; end <= len(path); end++ { // each directory above path, then path
		if end < len(path) && path[end] != '/' {
			continue
		}
		try(x.below, path[:end])
		for tail, n := end, 0; n < x.depth && tail > 0; n++ {
			tail = strings.LastIndexByte(path[:tail], '/')
			try(x.tails, path[tail+1:end])
		}
	}
	for _, g := range x.globs {
		if g.rule < best && strings.HasPrefix(path, g.prefix) && doublestar.MatchUnvalidated(g.pattern, path) {
			best = g.rule
		}
	}
	if best == len(x.rules) {
		return nil
	}
	return &x.rules[best]
}

// RuleByName returns the built-in rule of that name, or nil: "include",
// "exclude", "parent" and "build-directory" are no rules of their own.
func RuleByName(name string) *Rule {
	for i := range rules {
		if rules[i].Name == name {
			return &rules[i]
		}
	}
	return nil
}

// knownPrefixes are the places below which whole packages live.
var knownPrefixes = []string{"/usr/local", "/usr/pkg", "/usr/X11R6", "/usr"}

// GuessPrefix returns the place where most of what is packed lives: one of the
// usual prefixes or a directory in /opt, or "/" if that is not the bulk of it.
func GuessPrefix(l *plist.List) string {
	count := make(map[string]int)
	for i := range l.Entries {
		if e := &l.Entries[i]; e.Packed() && e.Op == plist.OpAdd && !e.Mode.IsDir() {
			count[prefixOf("/"+e.Path)]++
		}
	}
	best := "/"
	for prefix, n := range count {
		if c := cmp.Compare(n, count[best]); c > 0 || c == 0 && prefix < best {
			best = prefix
		}
	}
	return best
}

func prefixOf(path string) string {
	for _, prefix := range knownPrefixes {
		if below(path, prefix) {
			return prefix
		}
	}
	if rest, ok := strings.CutPrefix(path, "/opt/"); ok {
		if name, _, ok := strings.Cut(rest, "/"); ok {
			return "/opt/" + name
		}
	}
	return "/"
}
