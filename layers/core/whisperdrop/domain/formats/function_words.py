"""Words that lean on the next one, by language.

``LEANING``: articles, prepositions, conjunctions, possessives, subject pronouns. Lines are best
broken before them and never after them. ``VERBS``: auxiliaries and negations; a line that begins
with one divides a subject from what is said of it, which is nearly as good. ``TIED``: titles and
adverbs of degree, which must not end a line either.
"""

_EN = (
    "a an the my your his her its our their this these those some any every each no "
    "of in on at by for with from to into onto over under about after before between through "
    "during without within against among across behind beyond near since until upon via per "
    "toward towards despite like than as "
    "and or but nor so yet because although though while if when where which who whose whom that "
    "unless whether what how why "
    "i you he she it we they i'm you're he's she's it's we're they're i've you've we've they've "
    "i'll you'll he'll she'll we'll they'll i'd you'd he'd she'd we'd they'd there there's"
)
_DE = (
    "der die das den dem des ein eine einen einem einer eines kein keine keinen mein meine dein "
    "deine sein seine ihr ihre unser unsere euer eure dieser diese dieses diesen diesem jeder jede "
    "in im an am auf aus bei beim mit nach seit von vom zu zum zur für durch gegen ohne um bis "
    "über unter vor hinter neben zwischen während wegen trotz "
    "und oder aber denn sondern sowie dass weil wenn ob als obwohl damit bevor nachdem während "
    "wo wer wie warum deren dessen ich du er sie es wir"
)
_FR = (
    "le la les un une des du de d l' au aux mon ma mes ton ta tes son sa ses notre nos votre vos "
    "leur leurs ce cet cette ces quelques chaque à en dans par pour sur sous avec sans chez vers "
    "entre depuis pendant contre avant après devant derrière et ou mais donc car ni que qui dont "
    "où quand comme si lorsque puisque parce je tu il elle on nous vous ils elles ne se me te"
)
_ES = (
    "el la los las un una unos unas lo mi mis tu tus su sus nuestro nuestra este esta estos estas "
    "ese esa cada a al de del en por para con sin sobre entre desde hasta hacia contra según ante "
    "bajo tras y e o u pero sino ni que porque aunque cuando donde como si mientras quien cuyo yo "
    "él ella nosotros ellos ellas se me te nos le les"
)
_IT = (
    "il lo la i gli le un uno una l' mio mia tuo sua suo nostro nostra questo questa quel quella "
    "ogni di a da in con su per tra fra del dello della dei degli delle al allo alla ai agli alle "
    "dal dalla dai dalle nel nella nei nelle sul sulla sui sulle senza verso durante contro e ed o "
    "ma però che perché quando dove come se mentre anche cui chi io tu lui lei noi voi loro si mi "
    "ti ci vi ne"
)
_PT = (
    "o a os as um uma uns umas meu minha seu sua nosso nossa este esta esse essa cada de do da dos "
    "das em no na nos nas por pelo pela para com sem sobre entre desde até contra ao aos à às num "
    "numa e ou mas nem que porque embora quando onde como se enquanto quem cujo eu tu ele ela nós "
    "vós eles elas você vocês me te lhe"
)
_NL = (
    "de het een mijn jouw zijn haar ons onze hun dit deze die dat elke in op aan bij voor met van "
    "naar uit over onder tussen door tegen zonder om tot sinds tijdens te en of maar want omdat "
    "hoewel als toen terwijl wie wat waar hoe ik jij je hij zij ze wij we jullie"
)
_PL = (
    "w we z ze na do od po o u za przez przed nad pod między bez dla przy ku i a ale lub albo ani "
    "że bo ponieważ gdy kiedy jeśli żeby aby który która które gdzie jak co kto mój moja twój jego "
    "jej nasz wasz ich ten ta to te"
)
_RU = (
    "в во на с со к ко о об от из до по за у под над при без для через между перед и а но или ни "
    "что чтобы потому когда если как где который которая которое которые кто хотя пока мой моя "
    "твой его её наш ваш их этот эта это эти не я ты он она мы вы они"
)

LEANING: dict[str, frozenset[str]] = {
    code: frozenset(text.split())
    for code, text in {
        "en": _EN,
        "de": _DE,
        "fr": _FR,
        "es": _ES,
        "it": _IT,
        "pt": _PT,
        "nl": _NL,
        "pl": _PL,
        "ru": _RU,
    }.items()
}

_VERBS_EN = (
    "is are was were am be been being has have had do does did will would shall should can could "
    "may might must not don't doesn't didn't won't wouldn't can't couldn't isn't aren't wasn't "
    "weren't haven't hasn't hadn't shouldn't"
)
_TIED_EN = "let let's very too more most such quite rather mr mrs dr"

VERBS: dict[str, frozenset[str]] = {
    code: frozenset(text.split())
    for code, text in {"en": _VERBS_EN, "de": "nicht", "fr": "est sont a ont était"}.items()
}

TIED: dict[str, frozenset[str]] = {
    code: frozenset(text.split())
    for code, text in {"en": _TIED_EN, "de": "sehr herr frau zu", "fr": "mme dr très plus"}.items()
}
