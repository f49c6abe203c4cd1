// The player: an <audio> element with controls of our own.

import { clock, spoken } from "./format.js";
import { h, icon, iconButton } from "./dom.js";

const SPEEDS = [0.75, 1, 1.25, 1.5, 1.75, 2];
export const SKIP_S = 5;

/**
 * `source` answers the media's address, and is asked again when one has expired.
 * `tick` is called with the time in seconds while it plays and after every seek.
 */
export class Player {
  constructor({ source, tick, broken }) {
    this._source = source;
    this._tick = tick;
    this._broken = broken;
    this._audio = new Audio();
    this._audio.preload = "metadata";
    this._loaded = null;
    this._asked = 0;
    this._wanted = null; // seconds to be at as soon as the media is there
    this._length = 0;
    this._closed = false;
    this.element = this._build();
    for (const name of ["play", "pause", "ended"]) {
      this._audio.addEventListener(name, () => this._showState());
    }
    this._audio.addEventListener("timeupdate", () => this._showTime());
    this._audio.addEventListener("seeked", () => this._showTime());
    this._audio.addEventListener("durationchange", () => {
      if (Number.isFinite(this._audio.duration)) this.length = this._audio.duration;
    });
    this._audio.addEventListener("loadedmetadata", () => {
      if (this._wanted !== null) this._audio.currentTime = this._wanted;
      this._wanted = null;
    });
    this._audio.addEventListener("error", () => this._failed());
    this._frame = () => {
      if (this._closed || this._audio.paused) return;
      this._tick(this._audio.currentTime);
      requestAnimationFrame(this._frame);
    };
  }

  get time() {
    return this._wanted ?? this._audio.currentTime;
  }

  get playing() {
    return !this._audio.paused;
  }

  set length(seconds) {
    this._length = seconds || 0;
    this._bar.max = String(Math.max(0.1, this._length));
    this._end.textContent = clock(this._length);
    this._showTime();
  }

  /** Load what is needed to know the length and to begin at once. */
  ready() {
    this._load().catch((error) => this._say(error));
  }

  async toggle() {
    if (this.playing) this._audio.pause();
    else await this.play();
  }

  async play() {
    try {
      await this._load();
      if (!this._closed) await this._audio.play();
    } catch (error) {
      if (error.name !== "AbortError") this._say(error);
    }
  }

  pause() {
    this._audio.pause();
  }

  /** Go to `seconds`; playing goes on, or begins with `play`. */
  seek(seconds, { play = false } = {}) {
    const to = Math.max(0, Math.min(seconds, this._length || seconds));
    if (this._audio.readyState >= 1) {
      this._audio.currentTime = to;
    } else {
      this._wanted = to;
      this._load().catch((error) => this._say(error));
    }
    this._showTime();
    this._tick(to);
    if (play && !this.playing) this.play();
  }

  skip(seconds) {
    this.seek(this.time + seconds);
  }

  close() {
    this._closed = true;
    this._audio.pause();
    this._audio.removeAttribute("src");
    this._audio.load();
  }

  _load() {
    this._loaded ??= (async () => {
      this._asked += 1;
      const address = await this._source();
      if (this._closed) throw new DOMException("closed", "AbortError");
      this._audio.src = address;
      this._audio.playbackRate = Number(this._speed.value);
    })().catch((error) => {
      this._loaded = null;
      throw error;
    });
    return this._loaded;
  }

  async _failed() {
    if (this._closed || !this._audio.getAttribute("src")) return;
    const was = this._audio.currentTime;
    this._loaded = null;
    // An address of the storage ends after an hour: a new one plays on.
    if (this._asked < 3 && this._audio.error?.code !== MediaError.MEDIA_ERR_DECODE) {
      this._wanted = was;
      const again = this.playing;
      try {
        await this._load();
        if (again) await this._audio.play();
        return;
      } catch (error) {
        if (error.name === "AbortError") return;
      }
    }
    this._say(new Error("Your browser cannot play this file. The transcript is not affected."));
  }

  _say(error) {
    this._showState();
    this._broken(error);
  }

  _showState() {
    const label = this.playing ? "Pause" : "Play";
    this._button.replaceChildren(icon(this.playing ? "pause" : "play"));
    this._button.setAttribute("aria-label", label);
    this._button.title = `${label} (Space)`;
    if (this.playing) requestAnimationFrame(this._frame);
  }

  _showTime() {
    const { time } = this;
    this._bar.value = String(time);
    this._bar.setAttribute("aria-valuetext", `${spoken(time)} of ${spoken(this._length)}`);
    const share = this._length ? Math.min(100, (100 * time) / this._length) : 0;
    this._bar.style.setProperty("--played", `${share}%`);
    this._now.textContent = clock(time);
    if (!this.playing) this._tick(time);
  }

  _build() {
    this._button = iconButton("play", "Play", () => this.toggle(), { class: "icon-button play-button" });
    this._bar = h("input", {
      type: "range",
      class: "seek",
      min: "0",
      max: "0.1",
      step: "any",
      value: "0",
      "aria-label": "Position",
      on: { input: () => this.seek(Number(this._bar.value)) },
    });
    this._now = h("span", { class: "clock" }, "0:00");
    this._end = h("span", { class: "clock" }, "0:00");
    this._speed = h(
      "select",
      {
        "aria-label": "Speed",
        class: "speed",
        on: { change: () => (this._audio.playbackRate = Number(this._speed.value)) },
      },
      SPEEDS.map((speed) => h("option", { value: String(speed), selected: speed === 1 }, `${speed}×`)),
    );
    return h(
      "div",
      { class: "player", role: "group", "aria-label": "Player" },
      iconButton("rewind", `Back ${SKIP_S} seconds`, () => this.skip(-SKIP_S)),
      this._button,
      iconButton("forward", `Forward ${SKIP_S} seconds`, () => this.skip(SKIP_S)),
      this._now,
      this._bar,
      this._end,
      this._speed,
    );
  }
}
