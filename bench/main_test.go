package main

import (
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		times []time.Duration
		want  time.Duration
	}{
		{[]time.Duration{5}, 5},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{9, 1, 5, 7}, 6},
	} {
		if got := median(c.times); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.times, got, c.want)
		}
	}
}

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		of           comparison
		ours, theirs time.Duration
		want         string
	}{
		{comparisons[0], 3 * time.Millisecond, 10 * time.Millisecond, "query-dn: 0.30 of the peer's time, goal: at most 0.5: reached"},
		{comparisons[0], 6 * time.Millisecond, 10 * time.Millisecond, "query-dn: 0.60 of the peer's time, goal: at most 0.5: MISSED"},
		{comparisons[2], time.Second, 30 * time.Second, "init: 30.00 times faster, goal: at least 20: reached"},
		{comparisons[2], time.Second, 10 * time.Second, "init: 10.00 times faster, goal: at least 20: MISSED"},
	} {
		line, reached := c.of.verdict(c.ours, c.theirs)
		if line != c.want || reached != strings.HasSuffix(c.want, ": reached") {
			t.Errorf("got %q, %v; want %q", line, reached, c.want)
		}
	}
}

func TestWhatCannotBeMeasuredIsNoSuccess(t *testing.T) {
	for _, c := range []struct {
		name, want string
		args       []string
		status     int
	}{
		{"a binary that does not exist", "query-dn was not measured: ", []string{"-virt-pki", "/nonexistent", "-runs", "1", "query-dn"}, 3},
		{"an unknown comparison", `no comparison "issue": query-dn, gnutls or init`, []string{"-virt-pki", "/bin/true", "issue"}, 2},
		{"no runs", "counts are positive", []string{"-runs", "0"}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr strings.Builder
			if status := run(c.args, &stdout, &stderr); status != c.status || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("status %d, want %d; %s", status, c.status, stderr.String())
			}
		})
	}
}
