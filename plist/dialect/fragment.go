package dialect

import (
	"slices"
	"strings"
)

// Fragments divides items into the files that OpenBSD's conditions need: PLIST,
// and for each condition PFRAG.x or PFRAG.no-x, which include one another. The
// names are the keys.
func Fragments(items []Item) map[string][]Item {
	files := map[string][]Item{"PLIST": nil}
	for _, it := range items {
		name := "PLIST"
		for _, c := range it.When {
			inner := fragmentName(name, c)
			if files[inner] == nil {
				files[inner] = []Item{{Kind: KindID}}
				files[name] = append(files[name], includeFragment(c))
			}
			name = inner
		}
		it.When = nil
		files[name] = append(files[name], it)
	}
	return files
}

// fragmentName names what a condition includes into a file: PFRAG.x, and in that
// PFRAG.y-x.
func fragmentName(outer string, c Cond) string {
	name := c.Name
	if c.Not {
		name = "no-" + name
	}
	if rest, ok := strings.CutPrefix(outer, "PFRAG."); ok {
		name += "-" + rest
	}
	return "PFRAG." + name
}

func includeFragment(c Cond) Item {
	text := "%%" + c.Name + "%%"
	if c.Not {
		text = "!" + text
	}
	return Item{Kind: KindFragment, Text: text, When: []Cond{c}}
}

// FragmentNames returns the names of files in order, PLIST first.
func FragmentNames(files map[string][]Item) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	i := slices.Index(names, "PLIST")
	return slices.Concat(names[i:i+1], names[:i], names[i+1:])
}
