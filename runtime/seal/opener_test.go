package seal_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/packetrpc/packetrpc/runtime/packetrpc"
	"github.com/packetrpc/packetrpc/runtime/packetrpctest"
	"github.com/packetrpc/packetrpc/runtime/seal"
)

const secret = "the secret in the data"

func label() seal.Label {
	return seal.Label{Action: "chat.Room/Say", Direction: seal.Request, Session: seal.SessionHash("a token"), Call: 7, Number: 2}
}

func mustSeal(t *testing.T, l seal.Label) (sealed, id string) {
	t.Helper()
	out, id, err := l.Seal([]byte(secret), &sealKey().PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(out), id
}

func TestLabelRoundTrip(t *testing.T) {
	request := label()
	reply := request
	reply.Direction, reply.Number, reply.InReplyTo = seal.Reply, 1<<53-1, "the id of the request"
	for name, l := range map[string]seal.Label{
		"request":   request,
		"reply":     reply,
		"handshake": {Action: "handShake", Direction: seal.Request, Challenge: "once"},
		"last call": {Action: `"<ÿ>"`, Direction: seal.Request, Call: 1<<53 - 1},
	} {
		sealed, id := mustSeal(t, l)
		data, opened, err := seal.NewOpener(sealKey()).Open([]byte(sealed), l)
		if err != nil || string(data) != secret || opened != id {
			t.Errorf("%s: opened %q, id %q, %v; want id %q", name, data, opened, err, id)
		}
	}
}

func TestLabelHeader(t *testing.T) {
	sealed, id := mustSeal(t, seal.Label{Action: "handShake", Direction: seal.Request, Challenge: "once"})
	got := change(headerOf(t, sealed), "iat", "")
	want := fmt.Sprintf(`{"act":"handShake","alg":"RSA-OAEP-256","chl":"once","dir":"request","enc":"A256GCM","jti":%q}`, id)
	if got != want {
		t.Errorf("the header is %s\nwant %s", got, want)
	}
}

func TestSessionHash(t *testing.T) {
	if got, want := seal.SessionHash("abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestLabelsThatCannotBeSealed(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*seal.Label)
		text  string
	}{
		"no action":     {func(l *seal.Label) { l.Action = "" }, "names no action"},
		"no direction":  {func(l *seal.Label) { l.Direction = "" }, `its direction is "", not "request" or "reply"`},
		"bad direction": {func(l *seal.Label) { l.Direction = "sideways" }, `its direction is "sideways"`},
		"call":          {func(l *seal.Label) { l.Call = 1 << 53 }, "more than 9007199254740991"},
		"number":        {func(l *seal.Label) { l.Number = 1 << 53 }, "more than 9007199254740991"},
		"UTF-8":         {func(l *seal.Label) { l.Action = "\xff" }, "is not UTF-8"},
		"size":          {func(l *seal.Label) { l.Challenge = strings.Repeat("x", 4096) }, "bytes; it may have 4096"},
	} {
		l := label()
		test.spoil(&l)
		_, _, err := l.Seal(nil, &sealKey().PublicKey)
		if packetrpc.CodeOf(err) != packetrpc.CodeInvalidArgument || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want invalid_argument with %q", name, err, test.text)
		}
	}
}

// Each is refused with its kind of error, and afterwards the genuine one is opened.
func TestHostileSealedData(t *testing.T) {
	sealKey() // outside of the bubble, as it serves other tests as well
	synctest.Test(t, func(t *testing.T) {
		want := label()
		now := time.Now().Unix()
		genuine, _ := mustSeal(t, want)
		header := headerOf(t, genuine)
		with := func(changes ...string) string {
			return forge(change(header, changes...), secret, &sealKey().PublicKey)
		}
		raw := func(header string) string { return forge(header, secret, &sealKey().PublicKey) }
		upTo := func(dots int) string { return strings.Join(strings.Split(genuine, ".")[:dots], ".") }
		labelled := func(changed func(*seal.Label)) string {
			l := want
			changed(&l)
			sealed, _ := mustSeal(t, l)
			return sealed
		}
		swapped := func(a, b int) string {
			parts := strings.Split(genuine, ".")
			parts[a], parts[b] = parts[b], parts[a]
			return strings.Join(parts, ".")
		}
		second := func(offset int64) string { return fmt.Sprint(now + offset) }
		with1024 := func(string) string { return strings.Repeat("A", 1366) }

		type hostile struct {
			name   string
			sealed string
			kind   error
			text   string
		}
		const compact = "no JWE in compact serialization"
		const spelling = "not in base64url without padding"
		const changed = "sealed to another key than this one, or was changed since"
		for _, test := range []hostile{
			{"empty", "", seal.ErrMalformed, compact},
			{"null", "null", seal.ErrMalformed, compact},
			{"clear data", `{"text":"hello"}`, seal.ErrMalformed, compact},
			{"dots", "....", seal.ErrMalformed, "initialization vector of the sealed data has 0 bytes"},
			{"a million dots", strings.Repeat(".", 1<<20), seal.ErrMalformed, compact},
			{"truncated at the first dot", upTo(1), seal.ErrMalformed, compact},
			{"truncated at the second dot", upTo(2), seal.ErrMalformed, compact},
			{"truncated at the third dot", upTo(3), seal.ErrMalformed, compact},
			{"truncated at the fourth dot", upTo(4), seal.ErrMalformed, compact},
			{"without tag", upTo(4) + ".", seal.ErrMalformed, "authentication tag of the sealed data has 0 bytes, not 16"},
			{"truncated by a byte", genuine[:len(genuine)-2], seal.ErrMalformed, "has 15 bytes, not 16"},
			{"a sixth part", genuine + ".", seal.ErrMalformed, compact},
			{"JSON serialization", `{"protected":"` + upTo(1) + `","recipients":[{},{}]}`, seal.ErrMalformed, compact},
			{"header and key swapped", swapped(0, 1), seal.ErrNotForThisKey, "sealed to another key: its encrypted key has"},
			{"key and data swapped", swapped(1, 3), seal.ErrNotForThisKey, "its encrypted key has 22 bytes, and this key makes 256"},
			{"vector and tag swapped", swapped(2, 4), seal.ErrMalformed, "initialization vector of the sealed data has 16 bytes, not 12"},
			{"data and tag swapped", swapped(3, 4), seal.ErrMalformed, "authentication tag of the sealed data has 22 bytes, not 16"},
			{"dot between data and tag moved", upTo(3) + "." + moveDot(genuine[len(upTo(3))+1:]), seal.ErrMalformed, "has 19 bytes, not 16"},
			{"padding", genuine + "==", seal.ErrMalformed, spelling},
			{"line feed behind", genuine + "\n", seal.ErrMalformed, spelling},
			{"space before", "  " + genuine, seal.ErrMalformed, "not in base64url"},
			{"line break in the data", swap(genuine, 3, func(s string) string { return s[:4] + "\n" + s[4:] }), seal.ErrMalformed, spelling},
			{"other base64", swap(genuine, 3, func(s string) string { return "+/" + s[2:] }), seal.ErrMalformed, "no JWE: illegal base64"},
			{"other end of the key", swap(genuine, 1, respell), seal.ErrMalformed, spelling},
			{"other end of the data", swap(genuine, 3, respell), seal.ErrMalformed, spelling},
			{"other end of the tag", swap(genuine, 4, respell), seal.ErrMalformed, spelling},
			{"key flipped", swap(genuine, 1, flip), seal.ErrNotForThisKey, changed},
			{"vector flipped", swap(genuine, 2, flip), seal.ErrNotForThisKey, changed},
			{"data flipped", swap(genuine, 3, flip), seal.ErrNotForThisKey, changed},
			{"tag flipped", swap(genuine, 4, flip), seal.ErrNotForThisKey, changed},
			{"data gone", swap(genuine, 3, func(string) string { return "" }), seal.ErrNotForThisKey, changed},
			{"header in other words", swap(genuine, 0, func(string) string { return base64url.EncodeToString([]byte(header + " ")) }), seal.ErrNotForThisKey, changed},
			{"header with another time", swap(genuine, 0, func(string) string { return base64url.EncodeToString([]byte(change(header, "iat", second(1)))) }), seal.ErrNotForThisKey, changed},
			{"sealed to another key", forge(header, secret, &otherKey().PublicKey), seal.ErrNotForThisKey, changed},
			{"sealed to a longer key", forge(header, secret, &longerKey().PublicKey), seal.ErrNotForThisKey, "its encrypted key has 384 bytes, and this key makes 256"},
			{"key of 1024 bytes", swap(genuine, 1, with1024), seal.ErrNotForThisKey, "has 1024 bytes"},
			{"key of zeros", swap(genuine, 1, func(s string) string { return strings.Repeat("A", len(s)) }), seal.ErrNotForThisKey, changed},

			{"huge header", with("x", `"`+strings.Repeat("x", 4096)+`"`), seal.ErrMalformed, "bytes; it may have 4096"},
			{"no header", swap(genuine, 0, func(string) string { return "" }), seal.ErrMalformed, "no JSON object"},
			{"header null", raw("null"), seal.ErrMalformed, "no JSON object"},
			{"header a list", raw("[]"), seal.ErrMalformed, "no JSON object"},
			{"header no JSON", raw("{"), seal.ErrMalformed, "no JSON object"},
			{"header nested deeply", raw(`{"x":` + strings.Repeat("[", 4000)), seal.ErrMalformed, "no JSON object"},
			{"header not UTF-8", raw(strings.Replace(header, "Room", "R\xffm", 1)), seal.ErrMalformed, "no JSON object"},
			{"a key twice", raw(strings.Replace(header, `{`, `{"act":"chat.Room/Ban",`, 1)), seal.ErrMalformed, "each key once"},
			{"a key in capitals", with("alg", "", "ALG", `"RSA-OAEP-256"`), seal.ErrMalformed, `sealed with alg ""`},
			{"alg missing", with("alg", ""), seal.ErrMalformed, `sealed with alg ""`},
			{"alg RSA1_5", with("alg", `"RSA1_5"`), seal.ErrMalformed, `sealed with alg "RSA1_5"; only RSA-OAEP-256 is accepted`},
			{"alg dir", with("alg", `"dir"`), seal.ErrMalformed, `alg "dir"`},
			{"alg with SHA-1", with("alg", `"RSA-OAEP"`), seal.ErrMalformed, `alg "RSA-OAEP"`},
			{"alg by password", with("alg", `"PBES2-HS256+A128KW"`, "p2c", "1000000000"), seal.ErrMalformed, `alg "PBES2-HS256+A128KW"`},
			{"alg no string", with("alg", `["RSA-OAEP-256"]`), seal.ErrMalformed, `"alg" in the header of the sealed data is no string`},
			{"enc CBC", with("enc", `"A128CBC-HS256"`), seal.ErrMalformed, `enc "A128CBC-HS256"; only A256GCM is accepted`},
			{"enc with 128 bits", with("enc", `"A128GCM"`), seal.ErrMalformed, `enc "A128GCM"`},
			{"compressed", with("zip", `"DEF"`), seal.ErrMalformed, `has "zip", which is not accepted`},
			{"compressed with null", with("zip", `null`), seal.ErrMalformed, `has "zip"`},
			{"critical", with("crit", `["exp"]`, "exp", "1"), seal.ErrMalformed, `has "crit"`},
			{"with a key", with("jwk", `{"kty":"oct","k":"AAAA"}`), seal.ErrMalformed, `has "jwk"`},
			{"with the place of a key", with("jku", `"http://192.0.2.1/"`), seal.ErrMalformed, `has "jku"`},
			{"with certificates", with("x5c", `["AAAA"]`), seal.ErrMalformed, `has "x5c"`},
			{"with the place of certificates", with("x5u", `"http://192.0.2.1/"`), seal.ErrMalformed, `has "x5u"`},
			{"kid no string", with("kid", `7`), seal.ErrMalformed, "no JWE"},

			{"iat missing", with("iat", ""), seal.ErrMalformed, `has no "iat"`},
			{"iat null", with("iat", "null"), seal.ErrMalformed, `has no "iat"`},
			{"iat a string", with("iat", `"`+second(0)+`"`), seal.ErrMalformed, `"iat" in the header of the sealed data is no whole number`},
			{"iat with a fraction", with("iat", second(0)+".5"), seal.ErrMalformed, `"iat" in the header of the sealed data is no whole number`},
			{"iat negative", with("iat", "-1"), seal.ErrMalformed, `"iat" in the header of the sealed data is no whole number`},
			{"iat enormous", with("iat", "1e300"), seal.ErrMalformed, `"iat" in the header of the sealed data is no whole number`},
			{"iat beyond all numbers", with("iat", "1e999"), seal.ErrMalformed, "no JSON object"},
			{"iat in milliseconds", with("iat", second(0)+"000"), seal.ErrStale, "in the future"},
			{"stale", with("iat", second(-303)), seal.ErrStale, "the data was sealed 5m3s ago; it is accepted within 2m0s (do the clocks agree?)"},
			{"just stale", with("iat", second(-121)), seal.ErrStale, "sealed 2m1s ago"},
			{"from the future", with("iat", second(303)), seal.ErrStale, "sealed 5m3s in the future; it is accepted within 2m0s (do the clocks agree?)"},
			{"just from the future", with("iat", second(121)), seal.ErrStale, "sealed 2m1s in the future"},
			{"from 1970", with("iat", "0"), seal.ErrStale, "ago"},
			{"jti missing", with("jti", ""), seal.ErrMalformed, `has no "jti"`},
			{"jti empty", with("jti", `""`), seal.ErrMalformed, `"jti" in the header of the sealed data is not 16 bytes in base64url`},
			{"jti short", with("jti", `"AAAA"`), seal.ErrMalformed, `is not 16 bytes`},
			{"jti long", with("jti", `"AAAAAAAAAAAAAAAAAAAAAAAA"`), seal.ErrMalformed, `is not 16 bytes`},
			{"jti with another end", with("jti", `"AAAAAAAAAAAAAAAAAAAAAB"`), seal.ErrMalformed, `is not 16 bytes`},
			{"jti with a line break", with("jti", `"AAAAAAAAAAAAAAAAAAAA\nAA"`), seal.ErrMalformed, `is not 16 bytes`},
			{"jti a number", with("jti", `1`), seal.ErrMalformed, `"jti" in the header of the sealed data is no string`},

			{"sealed by hand", mustSealByHand(t, map[string]string{"act": want.Action}), seal.ErrMalformed, `has no "act"`},
			{"act missing", with("act", ""), seal.ErrMalformed, `has no "act"`},
			{"act a list", with("act", `["chat.Room/Say"]`), seal.ErrMalformed, `"act" in the header of the sealed data is no string`},
			{"dir missing", with("dir", ""), seal.ErrMalformed, `has no "dir"`},
			{"another action", labelled(func(l *seal.Label) { l.Action = "chat.Room/Ban" }), seal.ErrMoved, `sealed for action "chat.Room/Ban", not "chat.Room/Say"`},
			{"another direction", labelled(func(l *seal.Label) { l.Direction = seal.Reply }), seal.ErrMoved, `sealed as "reply", not as "request"`},
			{"an unknown direction", with("dir", `"both"`), seal.ErrMoved, `sealed as "both"`},
			{"another session", labelled(func(l *seal.Label) { l.Session = seal.SessionHash("another") }), seal.ErrMoved, "sealed for another session"},
			{"no session", labelled(func(l *seal.Label) { l.Session = "" }), seal.ErrMoved, "sealed for another session"},
			{"another call", labelled(func(l *seal.Label) { l.Call = 9 }), seal.ErrMoved, "sealed for call 9, not 7"},
			{"no call", labelled(func(l *seal.Label) { l.Call = 0 }), seal.ErrMoved, "sealed for call 0, not 7"},
			{"call a string", with("call", `"7"`), seal.ErrMalformed, `"call" in the header of the sealed data is no whole number`},
			{"call rounded to another", with("call", `9007199254740993`), seal.ErrMalformed, `"call" in the header of the sealed data is no whole number`},
			{"another number", labelled(func(l *seal.Label) { l.Number = 3 }), seal.ErrMoved, "sealed as message 3 of its call and direction, not as 2"},
			{"a reply to something", labelled(func(l *seal.Label) { l.InReplyTo = "x" }), seal.ErrMoved, "sealed in reply to another request"},
			{"a challenge", labelled(func(l *seal.Label) { l.Challenge = "x" }), seal.ErrMoved, "sealed for another challenge"},
		} {
			code := packetrpc.CodeInvalidArgument
			if test.kind == seal.ErrMoved || test.kind == seal.ErrStale {
				code = packetrpc.CodeFailedPrecondition
			}
			opener := seal.NewOpener(sealKey())
			data, _, err := opener.Open([]byte(test.sealed), want)
			refused(t, test.name, err, code, test.kind, test.text)
			if data != nil {
				t.Errorf("%s: refused, and yet there is data", test.name)
			}
			if err != nil && (strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), want.Session)) {
				t.Errorf("%s: the error tells too much: %v", test.name, err)
			}
			if opener.Remembered() != 0 {
				t.Errorf("%s: it is remembered", test.name)
			}
			if _, _, err := opener.Open([]byte(genuine), want); err != nil {
				t.Errorf("%s: afterwards the genuine data is refused: %v", test.name, err)
			}
		}
	})
}

// moveDot counts the last three bytes of the data to the tag, as decoders that do not
// look at sizes would not notice.
func moveDot(parts string) string {
	part, tag, _ := strings.Cut(parts, ".")
	data, err := base64url.DecodeString(part)
	if err != nil {
		panic(err)
	}
	end := len(data) - 3
	return base64url.EncodeToString(data[:end]) + "." + base64url.EncodeToString(data[end:]) + tag
}

func TestParametersThatMeanNothing(t *testing.T) {
	sealed, _ := mustSeal(t, label())
	header := change(headerOf(t, sealed), "kid", `"another key"`, "typ", `"JWE"`, "cty", `"x"`, "iv", `"x"`, "p2c", "9", "irt", `null`, "x", `{"y":[1]}`)
	got, _, err := seal.NewOpener(sealKey()).Open([]byte(forge(header, secret, &sealKey().PublicKey)), label())
	if err != nil || string(got) != secret {
		t.Errorf("opened %q, %v", got, err)
	}
}

func TestNoLetterMayChange(t *testing.T) {
	sealed, _ := mustSeal(t, label())
	opener := seal.NewOpener(sealKey())
	for i := 0; i < len(sealed); i += 3 {
		changed := []byte(sealed)
		if changed[i]++; changed[i] == '{' {
			changed[i] = 'a'
		}
		if data, _, err := opener.Open(changed, label()); err == nil {
			t.Errorf("letter %d changed: opened %q", i, data)
		}
	}
	if _, _, err := opener.Open([]byte(sealed), label()); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func TestReplay(t *testing.T) {
	sealed, _ := mustSeal(t, label())
	opener := seal.NewOpener(sealKey())
	if _, _, err := opener.Open([]byte(sealed), label()); err != nil {
		t.Fatal(err)
	}
	for name, again := range map[string]string{
		"the same":        sealed,
		"the id, guessed": forge(headerOf(t, sealed), "other data", &sealKey().PublicKey),
	} {
		_, _, err := opener.Open([]byte(again), label())
		refused(t, name, err, packetrpc.CodeFailedPrecondition, seal.ErrReplayed, "has been opened before")
	}
	afresh, _ := mustSeal(t, label())
	if _, _, err := opener.Open([]byte(afresh), label()); err != nil {
		t.Errorf("sealed afresh: %v", err)
	}
}

// Who opens the same data at the same time gets it once.
func TestReplayAtTheSameTime(t *testing.T) {
	packetrpctest.CheckLeaks(t)
	for range 5 {
		sealed, _ := mustSeal(t, label())
		opener := seal.NewOpener(sealKey())
		var all sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			all.Add(1)
			go func() {
				defer all.Done()
				_, _, errs[i] = opener.Open([]byte(sealed), label())
			}()
		}
		all.Wait()
		opened := 0
		for _, err := range errs {
			if err == nil {
				opened++
			} else if !errors.Is(err, seal.ErrReplayed) {
				t.Error(err)
			}
		}
		if opened != 1 {
			t.Errorf("opened %d times", opened)
		}
	}
}

// What can be accepted once more is remembered, wherever its time lies in the spans
// that are remembered together, and nothing is remembered for ever.
func TestRememberedWhileItCouldBeAccepted(t *testing.T) {
	sealKey()
	synctest.Test(t, func(t *testing.T) {
		l := label()
		for range 9 {
			opener := seal.NewOpener(sealKey())
			for _, offset := range []int64{-120, 0, 120} {
				sealed, _ := mustSeal(t, l)
				at := time.Now().Unix() + offset
				sealed = forge(change(headerOf(t, sealed), "iat", fmt.Sprint(at)), secret, &sealKey().PublicKey)
				for i := 0; ; i++ {
					_, _, err := opener.Open([]byte(sealed), l)
					late := time.Now().Unix() - at
					switch {
					case i == 0 && err != nil:
						t.Fatalf("offset %d: %v", offset, err)
					case i > 0 && late <= 120 && !errors.Is(err, seal.ErrReplayed):
						t.Fatalf("offset %d, replayed %d s after it was sealed: %v", offset, late, err)
					case late > 120 && !errors.Is(err, seal.ErrStale):
						t.Fatalf("offset %d, %d s late: %v", offset, late, err)
					}
					if late > 500 {
						break
					}
					time.Sleep(7 * time.Second)
				}
			}
			time.Sleep(10 * time.Minute)
			sealed, _ := mustSeal(t, l)
			if _, _, err := opener.Open([]byte(sealed), l); err != nil || opener.Remembered() != 1 {
				t.Errorf("%d ids are remembered, and all but one are old (%v)", opener.Remembered(), err)
			}
		}
	})
}

func TestFull(t *testing.T) {
	sealKey()
	synctest.Test(t, func(t *testing.T) {
		for _, offset := range []int64{-120, 0, 120} {
			time.Sleep(13 * time.Second)
			opener := seal.NewOpener(sealKey())
			if err := opener.RememberAt(time.Now(), time.Now().Unix()+offset, 1<<16); err != nil {
				t.Fatal(err)
			}
			open := func() error {
				sealed, _ := mustSeal(t, label())
				_, _, err := opener.Open([]byte(sealed), label())
				return err
			}
			err := open()
			refused(t, "full", err, packetrpc.CodeResourceExhausted, seal.ErrFull, "65536 pieces of sealed data have been opened")
			wait := packetrpc.AsError(err).RetryAfter
			if wait <= 0 || wait > 10*time.Minute {
				t.Fatalf("retry after %v", wait)
			}
			time.Sleep(wait - time.Nanosecond)
			refused(t, "too early", open(), packetrpc.CodeResourceExhausted, seal.ErrFull, "more are accepted in 0s")
			time.Sleep(time.Nanosecond)
			if err := open(); err != nil {
				t.Errorf("offset %d, after %v: %v", offset, wait, err)
			}
		}
	})
}

// When the clock is set back, what is forgotten is not opened again.
func TestClockSetBack(t *testing.T) {
	opener := seal.NewOpener(sealKey())
	now := time.Now()
	for _, later := range []time.Duration{0, time.Hour} {
		at := now.Add(later)
		if err := opener.RememberAt(at, at.Unix(), 1); err != nil {
			t.Fatal(err)
		}
	}
	sealed, _ := mustSeal(t, label())
	_, _, err := opener.Open([]byte(sealed), label())
	refused(t, "an hour back", err, packetrpc.CodeFailedPrecondition, seal.ErrStale, "clock was set back")
}

func TestIDsDiffer(t *testing.T) {
	var ids []string
	for range 20 {
		_, id := mustSeal(t, label())
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if len(slices.Compact(ids)) != 20 {
		t.Error("an id occurs twice")
	}
}
