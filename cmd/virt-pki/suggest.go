package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// nearest gives the candidate that a mistyped word was meant to be, or "". urfave/cli's own suggestion always finds one,
// however far off; a wrong suggestion is worse than none.
func nearest(word string, candidates []string) string {
	best, least := "", 1+len(word)/3
	if len(word) < 3 {
		least = 1
	}
	for _, c := range candidates {
		d := editDistance(word, c)
		if len(word) >= 3 && strings.HasPrefix(c, word) {
			d = 1 // an abbreviation
		}
		if d <= least && (best == "" || d < least) {
			best, least = c, d
		}
	}
	return best
}

// editDistance is the number of letters to insert, delete, replace or swap with their neighbour to make b of a.
func editDistance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			d := min(replaced, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

// commandNames lists the names of commands that help shows.
func commandNames(cmds []*cli.Command) []string {
	var names []string
	for _, c := range cmds {
		if !c.Hidden {
			names = append(names, c.Names()...)
		}
	}
	return names
}

// flagNames lists the long names of options.
func flagNames(flags []cli.Flag) []string {
	var names []string
	for _, f := range flags {
		for _, n := range f.Names() {
			if len(n) > 1 {
				names = append(names, n)
			}
		}
	}
	return names
}
