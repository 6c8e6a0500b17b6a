package hint

import (
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Few names a few of many.
func Few(names []string) string {
	const most = 5
	names = slices.Clone(names)
	sort.Strings(names)
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most-1], ", "), len(names)-most+1)
	}
	return strings.Join(names, ", ")
}
