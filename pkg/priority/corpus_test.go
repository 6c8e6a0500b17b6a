package priority_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/vectors"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

// A record is one string of the corpus with GnuTLS's answers.
type record struct {
	ID      string  `json:"id"`
	Config  string  `json:"cfg"` // a system file in testdata/configs
	S       string  `json:"s"`
	SHex    *string `json:"s_hex"` // instead of S where it is not UTF-8
	OK      bool    `json:"ok"`
	Ret     int     `json:"ret"` // GnuTLS's error
	Pos     *int    `json:"pos"` // and its offset, for -50
	Suites  string  `json:"cs"`
	Vers    string  `json:"vers"`
	Ciphers string  `json:"ciphers"`
	MACs    string  `json:"macs"`
	KX      string  `json:"kx"`
	Groups  string  `json:"groups"`
	Sigs    string  `json:"sigs"`
	CT      string  `json:"ct"`
	Prof    int     `json:"prof"`
	Level   int     `json:"lvl"`
	Verify  uint32  `json:"vf"`
	Reneg   int     `json:"sr"`
	Flags   string  `json:"fl"`
	Set     int     `json:"set"` // error of gnutls_priority_set_direct, where it differs
	HS      int     `json:"hs"`  // error of the handshake's start
	Hello   *hello  `json:"ch"`
}

type hello struct {
	RV, LV      string
	SID         int
	CS, X       string
	V, G, S, KS string
}

func (r *hello) UnmarshalJSON(b []byte) error {
	var v struct {
		RV  string `json:"rv"`
		LV  string `json:"lv"`
		SID int    `json:"sid"`
		CS  string `json:"cs"`
		X   string `json:"x"`
		V   string `json:"v"`
		G   string `json:"g"`
		S   string `json:"s"`
		KS  string `json:"ks"`
	}
	err := json.Unmarshal(b, &v)
	*r = hello{v.RV, v.LV, v.SID, v.CS, v.X, v.V, v.G, v.S, v.KS}
	return err
}

func (r record) String() string {
	if r.SHex != nil {
		b, _ := hex.DecodeString(*r.SHex)
		return string(b)
	}
	return r.S
}

func readSystem(t testing.TB, name string) *priority.System {
	t.Helper()
	if name == "" {
		return nil
	}
	b, err := os.ReadFile(filepath.Join("testdata", "configs", name))
	if err != nil {
		t.Fatal(err)
	}
	return priority.ParseSystem(b)
}

func TestExpandAgreesWithTheRecordedCorpusInEveryField(t *testing.T) {
	records := vectors.JSON[record](t, filepath.Join("testdata", "corpus.jsonl.gz"))
	if len(records) != 600 {
		t.Fatalf("the corpus has %d records, want 600", len(records))
	}
	for _, r := range records {
		t.Run(r.ID, func(t *testing.T) { checkRecord(t, r) })
	}
}

func checkRecord(t *testing.T, r record) {
	x, err := priority.Expand(r.String(), priority.Options{System: readSystem(t, r.Config)})
	if !r.OK {
		var e *priority.Error
		if !errors.As(err, &e) {
			t.Fatalf("%q: error %v, want GnuTLS's %d", r.String(), err, r.Ret)
		}
		if e.Code != r.Ret {
			t.Errorf("%q: code %d, want %d", r.String(), e.Code, r.Ret)
		}
		if r.Pos != nil && e.Offset != *r.Pos {
			t.Errorf("%q: offset %d, want %d", r.String(), e.Offset, *r.Pos)
		}
		return
	}
	if err != nil {
		t.Fatalf("%q: %v", r.String(), err)
	}
	var ids []string
	for _, c := range x.CipherSuites {
		ids = append(ids, fmt.Sprintf("%04x", c.ID))
	}
	same(t, r, "cs", strings.Join(ids, " "), r.Suites)
	same(t, r, "vers", strings.Join(x.Protocols, " "), r.Vers)
	same(t, r, "ciphers", strings.Join(x.Ciphers, " "), r.Ciphers)
	same(t, r, "macs", strings.Join(x.MACs, " "), r.MACs)
	same(t, r, "kx", strings.Join(x.KeyExchanges, " "), r.KX)
	same(t, r, "groups", strings.Join(x.Groups, " "), r.Groups)
	same(t, r, "sigs", strings.Join(x.Signatures, " "), r.Sigs)
	same(t, r, "ct", strings.Join(x.ClientCertificateTypes, ",")+"/"+strings.Join(x.ServerCertificateTypes, ","), r.CT)
	same(t, r, "prof", x.Profile, priority.Profile(r.Prof))
	same(t, r, "lvl", x.Level, priority.Level(r.Level))
	same(t, r, "vf", x.VerifyFlags, r.Verify)
	same(t, r, "sr", x.Renegotiation, priority.Renegotiation(r.Reneg))
	same(t, r, "fl", flagWords(x.Flags), r.Flags)
	set := 0
	if x.SetError != nil {
		set = x.SetError.Code
	}
	same(t, r, "set", set, r.Set)
	h, err := x.ClientHello()
	var e *priority.Error
	if errors.As(err, &e) {
		if r.Set == 0 {
			same(t, r, "hs", e.Code, r.HS)
		}
		if r.Hello != nil {
			t.Errorf("%q: no hello (%v), GnuTLS sends one", r.String(), err)
		}
		return
	}
	if r.Hello == nil {
		t.Fatalf("%q: a hello, GnuTLS sends none (%d)", r.String(), r.HS)
	}
	same(t, r, "rv", hexes([]uint16{h.RecordVersion}), r.Hello.RV)
	same(t, r, "lv", hexes([]uint16{h.LegacyVersion}), r.Hello.LV)
	same(t, r, "sid", h.SessionIDLength, r.Hello.SID)
	same(t, r, "hello cs", hexes(h.CipherSuites), r.Hello.CS)
	same(t, r, "x", hexes(h.Extensions), r.Hello.X)
	same(t, r, "v", hexes(h.SupportedVersions), r.Hello.V)
	same(t, r, "g", hexes(h.SupportedGroups), r.Hello.G)
	same(t, r, "s", hexes(h.SignatureAlgorithms), r.Hello.S)
	same(t, r, "ks", hexes(h.KeyShares), r.Hello.KS)
}

func same[T comparable](t *testing.T, r record, field string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%q (%s): %s\n got %v\nwant %v", r.String(), r.Config, field, got, want)
	}
}

func hexes(ids []uint16) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "%04x", id)
	}
	return b.String()
}

// flagWords gives the flags in the words of the corpus.
func flagWords(f priority.Flags) string {
	var out []string
	for _, w := range []struct {
		on   bool
		word string
	}{
		{f.ServerPrecedence, "SP"}, {f.NoTickets, "NT"}, {f.NoTicketsTLS12, "NT12"}, {f.NoETM, "NE"}, {f.ForceETM, "FE"},
		{f.NoSessionHash, "NSH"}, {f.AllowSmallRecords, "ASR"}, {f.Dumbfw, "DFW"}, {f.FallbackSCSV, "FB"},
		{f.NoExtensions, "NX"}, {f.AllowKeyUsageViolation, "KUV"}, {f.NoTLS13CompatMode, "NC13"},
		{f.LatestRecordVersion, "LRV"},
	} {
		if w.on {
			out = append(out, w.word)
		}
	}
	return strings.Join(out, " ")
}
