package lookalike

// latin is the ASCII letter that a letter looks like: a choice of those of Latin,
// Cyrillic, Greek and Armenian in the table of Unicode Technical Standard #39,
// https://www.unicode.org/Public/security/latest/confusables.txt, and of those that
// most fonts draw alike. Normalisation takes care of others, such as wide and
// mathematical letters.
var latin = map[rune]rune{
	// Cyrillic.
	'\u0430': 'a', '\u0410': 'A', '\u0412': 'B', '\u0441': 'c', '\u0421': 'C', '\u0501': 'd', '\u0435': 'e', '\u0415': 'E',
	'\u050c': 'G', '\u04bb': 'h', '\u041d': 'H', '\u0456': 'i', '\u0406': 'I', '\u0458': 'j', '\u0408': 'J', '\u041a': 'K',
	'\u04cf': 'l', '\u041c': 'M', '\u043e': 'o', '\u041e': 'O', '\u0440': 'p', '\u0420': 'P', '\u051b': 'q', '\u051a': 'Q',
	'\u0455': 's', '\u0405': 'S', '\u0422': 'T', '\u0475': 'v', '\u0474': 'V', '\u051d': 'w', '\u051c': 'W', '\u0445': 'x',
	'\u0425': 'X', '\u0443': 'y', '\u0423': 'Y', '\u04af': 'y', '\u04ae': 'Y', '\u0433': 'r', '\u044c': 'b',
	// Greek.
	'\u03b1': 'a', '\u0391': 'A', '\u0392': 'B', '\u03f2': 'c', '\u03f9': 'C', '\u0395': 'E', '\u0397': 'H', '\u03b9': 'i',
	'\u0399': 'I', '\u03f3': 'j', '\u037f': 'J', '\u03ba': 'k', '\u039a': 'K', '\u039c': 'M', '\u039d': 'N', '\u03bf': 'o',
	'\u039f': 'O', '\u03c3': 'o', '\u03c1': 'p', '\u03a1': 'P', '\u03a4': 'T', '\u03c5': 'u', '\u03bd': 'v', '\u03c7': 'x',
	'\u03a7': 'X', '\u03b3': 'y', '\u03a5': 'Y', '\u0396': 'Z',
	// Armenian.
	'\u0585': 'o', '\u0555': 'O', '\u0578': 'n', '\u057d': 'u', '\u0570': 'h', '\u0581': 'g', '\u0566': 'q', '\u054f': 'S',
	'\u0575': 'j', '\u053c': 'L',
	// Latin.
	'\u0131': 'i', '\u0237': 'j', '\u0251': 'a', '\u0261': 'g', '\u0269': 'i',
}
