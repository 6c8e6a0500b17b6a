package priority_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/priority"
)

func FuzzExpand(f *testing.F) {
	g := newGenerator(1)
	for range 200 {
		f.Add(g.priority(), "")
	}
	f.Add("@SYSTEM", "[priorities]\nSYSTEM=NORMAL\n")
	f.Add("@SYSTEM", "[global]\noverride-mode=allowlist\n[overrides]\nsecure-hash=SHA256\nenabled-version=TLS1.2\n")
	f.Fuzz(func(t *testing.T, s, file string) {
		var o priority.Options
		if file != "" {
			o.System = priority.ParseSystem([]byte(file))
		}
		for _, r := range []priority.Release{priority.Release379, priority.Release3813} {
			o.GnuTLS = r
			x, err := priority.Expand(s, o)
			y, err2 := priority.Expand(s, o)
			if !reflect.DeepEqual(x, y) || (err == nil) != (err2 == nil) {
				t.Fatalf("%q is expanded in two ways", s)
			}
			priority.NewItem(s, o)
			priority.Judge("subject", s, o, priority.CertificateKind{Bits: 2048})
			if err != nil {
				var e *priority.Error
				if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(s) {
					t.Fatalf("%q: %v", s, err)
				}
				continue
			}
			x.Describe()
			if c, err := x.TLSConfig(); err == nil && c.MinVersion > c.MaxVersion {
				t.Fatalf("%q: versions %x to %x", s, c.MinVersion, c.MaxVersion)
			}
			priority.Common(x, x, priority.KeyRSA, priority.KeyEd25519)
		}
	})
}

func FuzzParseSystem(f *testing.F) {
	f.Add([]byte("[priorities]\nSYSTEM=NORMAL\n  more\n"))
	f.Add([]byte("\xef\xbb\xbf; comment\n[overrides]\ntls-disabled-cipher = x\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		s := priority.ParseSystem(content)
		s.Keyword("SYSTEM")
		if s.Err() != nil {
			if _, ok := s.Keyword("SYSTEM"); ok {
				t.Fatal("a malformed file has keywords")
			}
		}
	})
}

func TestLongStringsCostNoMoreThan128Elements(t *testing.T) {
	cost := func(s string) float64 {
		return testing.AllocsPerRun(5, func() { priority.Expand(s, priority.Options{}) })
	}
	short := cost("NORMAL" + strings.Repeat(":+AES-128-CBC:-AES-128-CBC", 64))
	if long := cost("NORMAL" + strings.Repeat(":+AES-128-CBC:-AES-128-CBC", 100_000)); long > short+1 {
		t.Errorf("%v allocations for 200,000 elements, %v for 128", long, short)
	}
	x, err := priority.Expand("NORMAL"+strings.Repeat(":+COMP-NULL", 127)+":-VERS-ALL:nonsense", priority.Options{})
	if err != nil || len(x.Protocols) != 6 {
		t.Errorf("elements from the 129th on have an effect: %v", err)
	}
}

func BenchmarkExpand(b *testing.B) {
	system := readSystem(b, "allowlist.config")
	for _, s := range []string{"NORMAL", "SECURE256:-VERS-ALL:+VERS-TLS1.3", "NORMAL:+NOSUCH", "@SYSTEM"} {
		b.Run(s, func(b *testing.B) {
			o := priority.Options{}
			if s[0] == '@' {
				o.System = system
			}
			b.ReportAllocs()
			for b.Loop() {
				priority.Expand(s, o)
			}
		})
	}
}

func BenchmarkCommon(b *testing.B) {
	x, err := priority.Expand("NORMAL", priority.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		priority.Common(x, x)
	}
}
