// Checks of the open page that axe-core does not make. Each returns findings as texts.
const visible = e => e.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) && e.getClientRects().length > 0
    && !e.closest('[inert]');
const focusable = () => [...document.querySelectorAll(
    'a[href], button:not([disabled]), input:not([disabled]):not([type=hidden]), select:not([disabled]), textarea:not([disabled]), summary, [tabindex]')]
    .filter(e => e.tabIndex >= 0 && visible(e));
const describe = e => {
    const text = (e.innerText || e.value || e.getAttribute('aria-label') || e.name || '').trim().slice(0, 40);
    return `<${e.localName}${e.id ? ' id=' + e.id : ''}${e.className ? ' class=' + e.className : ''}> "${text}"`;
};
// A colour of computed style: red, green, blue from 0 to 1, and its opacity.
const colour = text => {
    const canvas = colour.canvas ??= new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].map(n => n / 255);
};
const luminance = ([r, g, b]) => {
    const part = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const contrast = (a, b) => {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
};
// The colour behind an element.
const background = e => {
    for (; e; e = e.parentElement) {
        const c = colour(getComputedStyle(e).backgroundColor);
        if (c[3] > 0.99) return c;
    }
    return matchMedia('(prefers-color-scheme: dark)').matches ? [0.07, 0.07, 0.07, 1] : [1, 1, 1, 1];
};

const checks = {
    // A control is at least 24 CSS pixels high and wide (WCAG 2.2, 2.5.8); links within a sentence may be smaller.
    targets() {
        const inSentence = e => e.localName == 'a' && getComputedStyle(e).display == 'inline'
            && [...e.parentElement.childNodes].some(n => n != e && n.textContent.trim().length > 1);
        return focusable().filter(e => !inSentence(e)).flatMap(e => {
            const label = e.labels?.[0]?.getBoundingClientRect();
            let { width, height } = e.getBoundingClientRect();
            if (label && ['checkbox', 'radio'].includes(e.type)) [width, height] = [Math.max(width, label.width), Math.max(height, label.height)];
            return Math.min(width, height) >= 23.9 ? [] : [`target of ${width.toFixed()} x ${height.toFixed()} px: ${describe(e)}`];
        });
    },
    // Nothing is wider than the screen (WCAG 2.2, 1.4.10); commands and tables may scroll in a box of their own.
    overflow() {
        const width = document.documentElement.clientWidth;
        const page = document.scrollingElement.scrollWidth;
        if (page <= width) return [];
        const inBox = e => { for (let p = e.parentElement; p && p != document.body; p = p.parentElement)
            if (['auto', 'scroll', 'hidden', 'clip'].includes(getComputedStyle(p).overflowX)) return true; };
        const wide = [...document.body.querySelectorAll('*')].filter(e => visible(e) && e.getBoundingClientRect().right > width + 1 && !inBox(e));
        return [`page of ${page} px on a screen of ${width} px`, ...wide.slice(-3).map(e => 'too wide: ' + describe(e))];
    },
    // A box that scrolls can be scrolled with the keyboard.
    scrollBoxes() {
        return [...document.querySelectorAll('body *')].filter(e => visible(e) && e.scrollWidth > e.clientWidth + 1
            && ['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.tabIndex < 0 && !e.querySelector('a, button'))
            .map(e => 'scrolls, but not by keyboard: ' + describe(e));
    },
    // Fields and buttons have a border, or are underlined as links are: in forced colours nothing else sets them off from the page.
    forcedColours() {
        return [...document.querySelectorAll('button, input:not([type=hidden], [type=checkbox], [type=radio]), textarea, select, .button')]
            .filter(visible).filter(e => {
                const s = getComputedStyle(e);
                return !s.textDecorationLine.includes('underline') && ['Top', 'Bottom', 'Left', 'Right'].some(side => s[`border${side}Style`] == 'none' || parseFloat(s[`border${side}Width`]) < 1);
            }).map(e => 'without a border in forced colours: ' + describe(e));
    },
    // The focused element, and what is wrong with how its focus is shown.
    focus() {
        const e = document.activeElement;
        if (!e || e == document.body || e == document.documentElement) return null;
        const found = [];
        const s = getComputedStyle(e);
        const width = parseFloat(s.outlineWidth);
        if (s.outlineStyle == 'none' || width < 2) found.push(`focus is not visible (outline ${s.outlineStyle} ${s.outlineWidth}): ${describe(e)}`);
        else {
            const inside = parseFloat(s.outlineOffset) < 0;
            const ratio = contrast(colour(s.outlineColor), background(inside ? e : e.parentElement));
            if (ratio < 3) found.push(`contrast of the focus ring is ${ratio.toFixed(1)}: ${describe(e)}`);
        }
        const box = e.getBoundingClientRect();
        if (box.bottom <= 0 || box.top >= innerHeight || box.right <= 0 || box.left >= innerWidth) found.push(`focused outside the screen: ${describe(e)}`);
        return { index: focusable().indexOf(e), found };
    },
    focusable() { return focusable().map(describe); },
    // An error is beside its field, and the field names it (WCAG 2.2, 3.3.1).
    errors() {
        return [...document.querySelectorAll('[aria-invalid=true]')].flatMap(field => {
            const ids = (field.getAttribute('aria-describedby') ?? '').split(/\s+/).concat(field.getAttribute('aria-errormessage') ?? []);
            const texts = ids.map(id => document.getElementById(id)).filter(t => t && visible(t) && t.innerText.trim());
            if (!texts.length) return ['no error text belongs to ' + describe(field)];
            const box = field.getBoundingClientRect();
            const near = texts.some(t => { const b = t.getBoundingClientRect(); return b.bottom > box.top - 100 && b.top < box.bottom + 60; });
            return near ? [] : ['the error text is far from ' + describe(field)];
        });
    },
    // Every page has a language, a title, one first heading, and headings without gaps.
    structure() {
        const found = [];
        if (!document.documentElement.lang) found.push('no language');
        if (!document.title.trim()) found.push('no title');
        if (document.querySelector('meta[http-equiv=refresh]')) found.push('the page reloads itself');
        const levels = [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter(visible).map(h => Number(h.localName[1]));
        if (levels.filter(l => l == 1).length != 1) found.push(`${levels.filter(l => l == 1).length} headings of level 1`);
        levels.forEach((l, i) => { if (l > (levels[i - 1] ?? 0) + 1) found.push(`heading of level ${l} after ${levels[i - 1] ?? 'none'}`); });
        return found;
    },
    // Text is not cut off when readers widen its spacing (WCAG 2.2, 1.4.12).
    spacing() {
        const style = new CSSStyleSheet();
        style.replaceSync('* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }');
        document.adoptedStyleSheets.push(style);
        const cut = [...document.querySelectorAll('body *')].filter(e => visible(e) && e.childElementCount == 0 && e.innerText?.trim() && e.localName != 'textarea'
            && ['hidden', 'clip'].includes(getComputedStyle(e).overflowX) && (e.scrollWidth > e.clientWidth + 2 || e.scrollHeight > e.clientHeight + 2)
            && e.getBoundingClientRect().width > 2);
        const found = cut.map(e => 'text is cut off with wide spacing: ' + describe(e)).concat(checks.overflow());
        document.adoptedStyleSheets.pop();
        return found;
    },
    // On paper, text is dark on white, and forms and navigation are left out.
    print() {
        const found = [];
        if (luminance(background(document.body)) < 0.9) found.push('paper is not white');
        for (const e of document.querySelectorAll('main p, main h1, main h2, main li, main td'))
            if (visible(e) && e.innerText?.trim() && contrast(colour(getComputedStyle(e).color), [1, 1, 1]) < 4.5) found.push('pale on paper: ' + describe(e));
        for (const e of document.querySelectorAll('button, textarea, input:not([type=hidden])'))
            if (visible(e)) found.push('printed control: ' + describe(e));
        return found.slice(0, 5).concat(checks.overflow());
    },
    // Everything that the page loaded is of its own server.
    hosts() {
        return performance.getEntriesByType('resource').map(e => e.name).filter(n => new URL(n).origin != location.origin).map(n => 'loaded ' + n);
    },
};
