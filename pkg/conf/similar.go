package conf

import "strings"

// similar finds the key that was probably meant: the known one with the fewest slips of the pen, at most one in five
// characters, or one of which key is the greater part.
func similar(key string, known []Setting) string {
	best, bestCost := "", 1<<30
	norm := normalise(key)
	for _, s := range known {
		if s.Unread != "" {
			continue
		}
		want := normalise(s.Key)
		cost, most := 1<<30, max(1, len(want)/5)
		if d := len(norm) - len(want); d <= most && -d <= most {
			cost = distance(norm, want)
		}
		if cost > most {
			// A part of it: tls_no_verify_cert, allowed_dn_list.
			if len(norm) < 6 || 2*len(norm) < len(want) || !strings.Contains(want, norm) && !strings.Contains(norm, want) {
				continue
			}
			cost = most + 1
		}
		if cost < bestCost {
			best, bestCost = s.Key, cost
		}
	}
	return best
}

// normalise makes keys comparable whatever their case and underscores.
func normalise(key string) string { return strings.ReplaceAll(strings.ToLower(key), "_", "") }

// distance is the number of insertions, deletions, replacements and exchanges of neighbours between a and b.
func distance(a, b string) int {
	var before, last, row []int
	for j := range len(b) + 1 {
		last = append(last, j)
	}
	for i := 1; i <= len(a); i++ {
		row = append(make([]int, 0, len(b)+1), i)
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			d := min(last[j]+1, row[j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row = append(row, d)
		}
		before, last = last, row
	}
	return last[len(b)]
}

// LikelySetting gives the setting of a file of kind k that was probably meant by a key that is none.
func LikelySetting(k Kind, key string) (string, bool) {
	s := similar(key, Settings(k, Release12_8))
	return s, s != ""
}
