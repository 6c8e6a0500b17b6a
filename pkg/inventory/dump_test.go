package inventory

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/big"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// lines gives lines one after the other.
func lines(list ...string) func() ([]byte, error) {
	return func() ([]byte, error) {
		if len(list) == 0 {
			return nil, io.EOF
		}
		line := list[0]
		list = list[1:]
		return []byte(line), nil
	}
}

func dumped(t testing.TB, inv *Inventory) (list []string) {
	t.Helper()
	if _, err := inv.Dump(context.Background(), func(line []byte) error {
		list = append(list, string(line))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestNumbersJumpAheadOfWhateverIsKnown(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	list := `{"list":{"authority":"aa","number":"7","this_update":1700000000,"next_update":1700000001}}`
	for _, tt := range []struct {
		name    string
		atLeast *big.Int
		lines   []string
		want    int64
	}{
		{"nothing is known", nil, nil, 101},
		{"the inventory's", nil, []string{list}, 108},
		{"the file's is higher", big.NewInt(9), []string{list}, 110},
		{"the file's is lower", big.NewInt(5), []string{list}, 108},
	} {
		inv, err := Memory(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := inv.Load(ctx, Load{Authority: "aa", AtLeast: tt.atLeast, Skip: 100}, lines(tt.lines...)); err != nil {
			t.Fatal(err)
		}
		next, err := inv.NextList(ctx, "aa", now, time.Hour, nil)
		if err != nil || next.Number.Int64() != tt.want {
			t.Errorf("%s: %v, %v", tt.name, next.Number, err)
		}
		inv.Close()
	}
}

func TestALoadThatFailsLoadsNothing(t *testing.T) {
	ctx := context.Background()
	inv, err := Memory(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer inv.Close()
	if err := inv.Record(ctx, Entry{Key: Key{"1F", "aa"}, Host: "a", Role: certs.Client, PEM: []byte("x"), Created: time.Unix(1, 0)}); err != nil {
		t.Fatal(err)
	}
	source := dumped(t, inv)
	failure := errors.New("no more")
	into, err := Memory(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer into.Close()
	more := lines(source...)
	for _, l := range []Load{{}, {Finish: func(d Dumped) error {
		if d.Certificates != 1 {
			t.Errorf("%+v", d)
		}
		return failure
	}}} {
		next := lines(source...)
		if l.Finish == nil {
			next = func() ([]byte, error) {
				line, err := more()
				if err == io.EOF {
					err = failure
				}
				return line, err
			}
		}
		if _, err := into.Load(ctx, l, next); !errors.Is(err, failure) {
			t.Errorf("%v", err)
		}
		if left := dumped(t, into); len(left) > 0 {
			t.Errorf("left: %q", left)
		}
	}
}

func FuzzLoad(f *testing.F) {
	ctx := context.Background()
	inv, err := Memory(ctx)
	if err != nil {
		f.Fatal(err)
	}
	defer inv.Close()
	if err := inv.Record(ctx, Entry{Key: Key{"1F", "aa"}, Host: "a", Role: certs.Client, PEM: []byte("x"), Created: time.Unix(1, 0)}); err != nil {
		f.Fatal(err)
	}
	for _, line := range dumped(f, inv) {
		f.Add([]byte(line))
	}
	f.Add([]byte(`{"list":{"authority":"aa","number":"7","this_update":1,"next_update":2}}`))
	f.Add([]byte(`{"certificate":{"serial":"1","authority":"","status":"revoked","pem":""}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if _, err := CheckDump(lines(string(line))); err != nil {
			return
		}
		// What is taken can be given back, and read as ever.
		into, err := Memory(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer into.Close()
		if _, err := into.Load(ctx, Load{Authority: "aa"}, lines(string(line))); err != nil {
			return // a database's own limits, such as of the size of a number
		}
		first := dumped(t, into)
		if _, err := into.List(ctx, Filter{}); err != nil {
			t.Errorf("%q: %v", line, err)
		}
		again, err := Memory(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if _, err := again.Load(ctx, Load{Authority: "aa"}, lines(first...)); err != nil {
			t.Fatalf("%q: %v", first, err)
		}
		second := dumped(t, again)
		if len(first) != len(second) {
			t.Fatalf("%q, then %q", first, second)
		}
		for i := range first {
			if !bytes.Equal([]byte(first[i]), []byte(second[i])) {
				t.Errorf("%q, then %q", first[i], second[i])
			}
		}
	})
}
